"""Accept: can the job be carried out as written? If so, fix what exactly will be run."""

from collections.abc import Sequence
from dataclasses import replace

from pydantic import ValidationError

from finetune_operator.api.compute import DeviceChoice
from finetune_operator.api.conditions import ConditionType
from finetune_operator.api.fine_tune_class import FineTuneClass
from finetune_operator.api.fine_tune_job import FineTuneJob
from finetune_operator.api.fine_tune_job_status import Phase, Resolved
from finetune_operator.api.reason import Reason
from finetune_operator.domain import conditions
from finetune_operator.domain.actions import Action, Apply, Delete
from finetune_operator.domain.kinds import CONFIG_MAP
from finetune_operator.domain.lifecycle.allowed import not_allowed
from finetune_operator.domain.lifecycle.work import Work
from finetune_operator.domain.manifests.volume import (
    headless_service,
    recipe_config_map,
    volume_claim,
)
from finetune_operator.domain.observed import ModelCache, pods_gone
from finetune_operator.domain.planning import Cluster, plan_of, planned, pod_memory
from finetune_operator.domain.recipe_builder import build_recipe
from finetune_operator.domain.sizing import Sized
from finetune_trainer import rules
from finetune_trainer.memory.catalogue import architecture_of
from finetune_trainer.memory.layout import Machine
from finetune_trainer.memory.sizing import impossible
from finetune_trainer.recipe import Device, Recipe

LEAVING_SECONDS = 2.0
"""How often to look whether the garbage collector has finished."""


def accept(work: Work) -> bool:
    """Done when the recipe is stored and the condition Accepted says so."""
    if work.holds(ConditionType.ACCEPTED) and work.holds(ConditionType.STARTED):
        return _still_complete(work)
    if work.seen.leaving:
        message = f"{', '.join(work.seen.leaving)} of the deleted job of this name is being removed"
        work.goes_on(Phase.PENDING, Reason.PENDING, message)
        work.again(LEAVING_SECONDS)
        return False
    its_class = work.seen.finetune_class
    if its_class is None:
        name = work.spec.class_name
        _refuse(work, Reason.CLASS_NOT_FOUND, f"FineTuneClass {name} does not exist: create it")
        return False
    sized = _sized(work, work.job)
    sized = replace(sized, recipe=_keep_stored(sized.recipe, work))
    refusal = _refusal(work, its_class, sized)
    if refusal is not None:
        _refuse(work, *refusal)
        return False
    return _fix(work, its_class, sized)


def _sized(work: Work, job: FineTuneJob, types: Sequence[str] = ()) -> Sized:
    """The recipe and its machines; those that an earlier plan has chosen, if there is one."""
    seen = work.seen
    cluster = Cluster(seen.has_gpu_nodes, seen.gpu_memory)
    return planned(job, seen.finetune_class, cluster, seen.costs.prices, types)


def _keep_stored(recipe: Recipe, work: Work) -> Recipe:
    """The stored recipe where only the object's generation differs: suspend changes that too."""
    if work.seen.recipe is None:
        return recipe
    try:
        stored = Recipe.model_validate_json(work.seen.recipe.content)
    except ValidationError:
        return recipe
    return stored if stored.model_copy(update={"job": recipe.job}) == recipe else recipe


def _refusal(work: Work, its_class: FineTuneClass, sized: Sized) -> tuple[Reason, str] | None:
    if work.seen.taken:
        message = f"{', '.join(work.seen.taken)} exists and is not this job's: rename one of them"
        return Reason.NAME_TAKEN, message
    if refusal := not_allowed(work.spec, its_class):
        return Reason.NOT_ALLOWED, refusal
    nodes = work.spec.compute.nodes
    if nodes > 1 and work.seen.storage_is_shared is False:
        claim = work.spec.checkpoint.volume_claim
        named = claim.storage_class_name or "the cluster's default StorageClass"
        message = (
            f"compute.nodes is {nodes}, but volumes of {named} can be mounted on one node only:"
            " set checkpoint.volumeClaim.storageClassName to one that several nodes can mount"
            " (NFS, CephFS, Azure Files, …), or compute.nodes to 1"
        )
        return Reason.VOLUME_NOT_SHARED, message
    problems = rules.problems(sized.recipe)
    if too_large := _too_large(work, sized.recipe):
        problems.append(too_large)
    if sized.refusal:
        problems.append(sized.refusal)
    return (Reason.CONFIGURATION_ERROR, "; ".join(problems)) if problems else None


def _too_large(work: Work, recipe: Recipe) -> str | None:
    """Of models that the catalogue knows, and of pods that compute in a memory they limit."""
    architecture = architecture_of(recipe.model.storage_uri)
    if recipe.compute.device is Device.GPU or architecture is None:
        return None
    # Whether the processor has bfloat16 is not known yet: the lesser need decides.
    machine = Machine(gpu=False, bf16=True, memory=pod_memory(work.spec.compute))
    limit = "compute.podTemplate.resources.limits.memory"
    # Not of the layout that was chosen: another strategy may need less before any data.
    as_asked = build_recipe(work.job, recipe.compute.device)
    return impossible(as_asked, architecture, machine, limit)


def _refuse(work: Work, reason: Reason, message: str) -> None:
    """Not for good: the spec may still be edited, and a class may appear."""
    work.update(phase=Phase.PENDING)
    work.set(ConditionType.RECONCILING, False, reason, message)
    work.set(ConditionType.STALLED, True, reason, message)
    if work.set(ConditionType.ACCEPTED, False, reason, message):
        work.event(reason, message, warning=True)


def _fix(work: Work, its_class: FineTuneClass, sized: Sized) -> bool:
    """Stores the recipe and what names stand for; nothing is started before both are stored."""
    recipe = sized.recipe
    stored, text = work.seen.recipe, recipe.canonical_json()
    if stored is not None and stored.content != text:
        # The spec was edited after this was stored: what was started by it goes first.
        work.actions += [job.delete() for job in work.seen.batch_jobs if not job.deleting]
        if not work.actions and pods_gone(work.seen.pods):
            namespace = work.job.metadata.namespace
            work.actions.append(Delete(CONFIG_MAP, namespace, stored.name, stored.uid))
        work.goes_on(Phase.PENDING, Reason.PENDING)
        work.again(1)
        return False
    cache = work.seen.model_cache
    resolved = Resolved(
        recipe_digest=recipe.digest(),
        trainer_image=its_class.spec.images.trainer,
        model_cache=cache.claim_name if cache and not cache.unusable else None,
    ).model_copy(
        update={
            "model_revision": work.resolved.model_revision,
            "adapter_revision": work.resolved.adapter_revision,
            "dataset_digest": work.resolved.dataset_digest,
        }
    )
    plan = plan_of(sized, work.spec.compute, its_class, work.seen.costs.prices)
    work.actions += _missing(work, text)
    settled = (
        work.holds(ConditionType.ACCEPTED)
        and not work.actions
        and (work.status.resolved, work.status.plan) == (resolved, plan)
    )
    if settled:
        return True
    work.update(resolved=resolved, plan=plan)
    work.set(ConditionType.ACCEPTED, True, Reason.ACCEPTED, _accepted(sized, cache))
    work.goes_on(Phase.PENDING, Reason.ACCEPTED)
    work.event(Reason.ACCEPTED, "")
    work.again(0)
    return False


def _accepted(sized: Sized, cache: ModelCache | None) -> str:
    """Which of the machines that were named will not be asked for, and why no cache is used."""
    more = f" Not asked for: {'; '.join(sized.unfit)}." if sized.unfit else ""
    if cache and cache.unusable:
        more += f" Without the model cache: {cache.unusable}."
    return f"{Reason.ACCEPTED.meaning}{more}" if more else ""


def _missing(work: Work, recipe: str) -> list[Action]:
    wanted: list[Action] = []
    if work.seen.recipe is None:
        wanted.append(Apply(recipe_config_map(work.job, recipe)))
    if work.seen.volume_claim is None:
        wanted.append(Apply(volume_claim(work.job)))
    if work.seen.service is None and work.spec.compute.nodes > 1:
        wanted.append(Apply(headless_service(work.job)))
    return wanted


def _still_complete(work: Work) -> bool:
    """Makes again what was taken away and can be; without its volume a job cannot go on."""
    if work.seen.volume_claim is None:
        work.fail(
            Reason.VOLUME_MISSING,
            "the job's volume claim was deleted, and inputs and checkpoints with it: create the"
            " job again",
        )
        return False
    recipe = "" if work.seen.recipe else _as_accepted(work).canonical_json()
    work.actions += _missing(work, recipe)
    if work.actions:
        work.again(0)
        return False
    return True


def _as_accepted(work: Work) -> Recipe:
    """The recipe as it was stored; suspending has raised the object's generation since."""
    accepted = conditions.find(work.status.conditions, ConditionType.ACCEPTED)
    generation = accepted.observed_generation if accepted else None
    metadata = work.job.metadata.model_copy(
        update={"generation": generation or work.job.metadata.generation}
    )
    job = work.job.model_copy(update={"metadata": metadata})
    device = DeviceChoice(work.plan.device.value)
    compute = job.spec.compute.model_copy(update={"device": device})
    spec = job.spec.model_copy(update={"compute": compute})
    return _sized(work, job.model_copy(update={"spec": spec}), work.plan.instance_types).recipe
