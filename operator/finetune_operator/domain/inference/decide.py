"""What to do for an InferenceWorkspace, and what to report: one decision from all that is seen."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from finetune_operator.api.conditions import ConditionType
from finetune_operator.api.fine_tune_class import FineTuneClass
from finetune_operator.api.inference_revision import InferenceRevision
from finetune_operator.api.inference_workspace import InferenceWorkspaceStatus, Runtime
from finetune_operator.api.reason import Reason
from finetune_operator.domain.actions import Action, Apply, Delete, Event, JsonObject
from finetune_operator.domain.applied import is_applied
from finetune_operator.domain.conditions import is_true
from finetune_operator.domain.inference import children
from finetune_operator.domain.inference.observed import Observed
from finetune_operator.domain.inference.restarts import explain_restarts
from finetune_operator.domain.inference.routing import Unresolved, expired, resolve
from finetune_operator.domain.inference.server import BASE, RUNTIME, Server
from finetune_operator.domain.inference.status import (
    Readiness,
    refused_status,
    rolled_out,
    status_of,
)
from finetune_operator.domain.kinds import (
    CONFIG_MAP,
    INFERENCE_REVISION,
    POD_DISRUPTION_BUDGET,
    Kind,
)
from finetune_operator.domain.outside import outside_of
from finetune_operator.domain.waiting import explain_serving
from finetune_trainer.combinations import METHOD, refusals
from finetune_trainer.combinations import RUNTIME as RUNTIME_FIELD
from finetune_trainer.recipe import MethodType

_POLL_SECONDS = 15.0
"""While pods start: events of the scheduler and the kubelet are not watched."""


_REFUSED_SECONDS = 30.0
"""Permission, quota or a policy may change without a word to us."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do, in this order, and then to report."""

    actions: tuple[Action, ...]
    status: InferenceWorkspaceStatus
    events: tuple[Event, ...] = ()
    requeue_after: float | None = None


def decide(seen: Observed, now: datetime) -> Decision:
    """One look at a workspace. What is refused changes nothing that runs."""
    try:
        server, old = _server(seen)
    except _RefusedError as refused:
        status = refused_status(seen.workspace, refused.readiness, seen.deployment, now)
        return Decision((), status, _events(seen, refused.readiness))
    wanted = children.deployment(server)
    actions = [Apply(each) for each in _children(server) if not _is_there(each, seen)]
    if not is_applied(seen.deployment, wanted):
        actions.append(Apply(wanted))
    readiness = _readiness(seen, wanted, changed=bool(actions))
    status = status_of(seen.workspace, server.routing, readiness, seen.deployment, now)
    tidying = tuple(_tidying(seen, server, old)) if readiness.ready else ()
    return Decision(
        (*actions, *tidying),
        status,
        _events(seen, readiness),
        None if readiness.ready or readiness.reason is Reason.SWITCHED_OFF else _POLL_SECONDS,
    )


def refused(seen: Observed, message: str, now: datetime) -> Decision:
    """What is reported when the API server refuses one of the children; `message` is its own."""
    quota = "exceeded quota" in message
    reason = Reason.QUOTA_EXCEEDED if quota else Reason.PODS_FORBIDDEN
    readiness = Readiness(False, reason, message)
    status = refused_status(seen.workspace, readiness, seen.deployment, now)
    return Decision((), status, _events(seen, readiness), _REFUSED_SECONDS)


class _RefusedError(Exception):
    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        # A workspace without revisions waits for a publication, which is nobody's fault.
        self.readiness = Readiness(False, reason, message, stalled=reason is not Reason.NO_REVISION)


def _server(seen: Observed) -> tuple[Server, tuple[InferenceRevision, ...]]:
    """What is to run, and the revisions beyond the history limit.

    Raises:
        _RefusedError: it cannot be said; why, and what to do.
    """
    workspace, spec = seen.workspace, seen.workspace.spec
    _own_names(seen)
    _own_models(seen)
    if seen.finetune_class is None:
        raise _RefusedError(
            Reason.CLASS_NOT_FOUND,
            f"FineTuneClass {spec.class_name} does not exist: create it, or set spec.className to"
            " one of `kubectl get finetuneclasses`.",
        )
    resolved = resolve(seen.revisions, spec.traffic, workspace.status.base_model)
    if isinstance(resolved, Unresolved):
        raise _RefusedError(resolved.reason, resolved.message)
    kept = {target.revision_name for target in spec.traffic if target.revision_name}
    kept |= {route.revision for route in resolved.routes}
    old = expired(seen.revisions, kept, spec.revision_history_limit)
    served = tuple(revision for revision in resolved.served if revision not in old)
    routing = replace(resolved, served=served)
    server = Server(
        workspace=workspace,
        routing=routing,
        runtime=_runtime(seen, seen.finetune_class, served),
        images=seen.finetune_class.spec.images,
        outside=outside_of(seen.finetune_class),
        image_volumes=seen.image_volumes,
    )
    return server, old


def _own_names(seen: Observed) -> None:
    """Refuses to take over objects of our names that belong to somebody else."""
    for found in (seen.service, seen.deployment, seen.disruption_budget):
        if found is not None and not _is_ours(found, seen):
            name = found["metadata"]["name"]
            raise _RefusedError(
                Reason.NAME_TAKEN,
                f"{found['kind']} {name} exists and belongs to somebody else: delete or rename"
                " it, or create the InferenceWorkspace under another name.",
            )


def _own_models(seen: Observed) -> None:
    """Refuses two models of one name."""
    name = seen.workspace.metadata.name
    revisions = {revision.metadata.name for revision in seen.revisions}
    for taken in ({BASE} & {name, *revisions}) | ({name} & revisions):
        raise _RefusedError(
            Reason.NAME_TAKEN,
            f"Two models would answer by the name {taken}: {BASE} is the base model's and {name}"
            " the workspace's own. Choose other names for workspace and revisions.",
        )


def _is_ours(found: JsonObject, seen: Observed) -> bool:
    owners = found["metadata"].get("ownerReferences") or ()
    return any(
        owner["uid"] == seen.workspace.metadata.uid and owner.get("controller") for owner in owners
    )


def _runtime(
    seen: Observed, finetune_class: FineTuneClass, served: Sequence[InferenceRevision]
) -> Runtime:
    _one_kind(served)
    chosen = _chosen_runtime(seen, finetune_class)
    for revision in served:
        if revision.spec.adapter is None:
            continue
        values = {RUNTIME_FIELD: chosen.value, METHOD: revision.spec.adapter.method}
        if message := next(refusals(values), None):
            if seen.workspace.spec.runtime is Runtime.AUTO and seen.deployment is None:
                return Runtime.TRANSFORMERS
            name = revision.metadata.name
            raise _RefusedError(Reason.RUNTIME_UNAVAILABLE, f"Revision {name}: {message}.")
    return chosen


def _one_kind(served: Sequence[InferenceRevision]) -> None:
    """Refuses adapters that cannot lie around one base model in memory."""
    kinds: dict[MethodType, str] = {}
    for revision in served:
        if adapter := revision.spec.adapter:
            # DoRA's layers are LoRA's with a magnitude.
            kind = MethodType.LORA if adapter.method is MethodType.DORA else adapter.method
            kinds.setdefault(kind, revision.metadata.name)
    if len(kinds) > 1:
        told = " and ".join(f"{name} ({kind})" for kind, name in kinds.items())
        raise _RefusedError(
            Reason.RUNTIME_UNAVAILABLE,
            f"Revisions {told} hold adapters of different kinds, which one server cannot load:"
            " publish one of them to another InferenceWorkspace, or delete its InferenceRevision.",
        )


def _chosen_runtime(seen: Observed, finetune_class: FineTuneClass) -> Runtime:
    asked, offered = seen.workspace.spec.runtime, finetune_class.spec.images.vllm is not None
    if asked is Runtime.VLLM and not offered:
        raise _RefusedError(
            Reason.RUNTIME_UNAVAILABLE,
            f"spec.runtime is VLLM, and FineTuneClass {finetune_class.metadata.name} has no image"
            " for it: set its spec.images.vllm, or spec.runtime to Transformers or Auto.",
        )
    if asked is not Runtime.AUTO:
        return asked
    # Once decided it stays: GPU nodes may well be scaled to zero while nobody asks.
    labels = (seen.deployment or {"metadata": {}})["metadata"].get("labels", {})
    if decided := labels.get(RUNTIME):
        return Runtime(decided) if offered else Runtime.TRANSFORMERS
    return Runtime.VLLM if offered and seen.has_gpu_nodes else Runtime.TRANSFORMERS


def _children(server: Server) -> Iterator[JsonObject]:
    """All but the Deployment, in the order in which they are needed."""
    yield children.config_map(server)
    yield children.service(server.workspace)
    if server.workspace.spec.replicas > 1:
        yield children.disruption_budget(server.workspace)


def _is_there(wanted: JsonObject, seen: Observed) -> bool:
    found = {
        (each["kind"], each["metadata"]["name"]): each
        for each in (seen.service, seen.disruption_budget, *seen.config_maps)
        if each is not None
    }
    return is_applied(found.get((wanted["kind"], wanted["metadata"]["name"])), wanted)


def _readiness(seen: Observed, wanted: JsonObject, *, changed: bool) -> Readiness:
    replicas = seen.workspace.spec.replicas
    if replicas == 0:
        return Readiness(
            False, Reason.SWITCHED_OFF, "spec.replicas is 0: set it to 1 or more to get answers."
        )
    if seen.deployment is not None and not changed and rolled_out(seen.deployment):
        return Readiness(
            True,
            Reason.SERVING,
            f"{replicas} of {replicas} pods have answered with every revision.",
        )
    waiting = explain_serving(seen.pods, _incomplete(seen.replica_sets), seen.notices)
    if waiting := waiting or explain_restarts(seen.pods):
        return Readiness(False, waiting.reason, waiting.message)
    status = (seen.deployment or {}).get("status", {})
    updated = 0 if changed else status.get("updatedReplicas", 0)
    return Readiness(
        False,
        Reason.ROLLING_OUT,
        f"{updated} of {replicas} pods are of the wanted revisions; the models are fetched and"
        " loaded, and each has to answer once.",
    )


def _incomplete(replica_sets: Sequence[JsonObject]) -> list[str]:
    """The uids of those that have not made all of their pods."""
    return [
        each["metadata"]["uid"]
        for each in replica_sets
        if each.get("status", {}).get("replicas", 0) < each["spec"].get("replicas", 0)
    ]


def _tidying(seen: Observed, server: Server, old: Sequence[InferenceRevision]) -> Iterator[Delete]:
    """What no pod needs any more."""
    namespace = seen.workspace.metadata.namespace
    for revision in old:
        metadata = revision.metadata
        yield Delete(INFERENCE_REVISION, namespace, metadata.name, metadata.uid)
    for found in seen.config_maps:
        if found["metadata"]["name"] != server.config_map_name and _is_ours(found, seen):
            yield _deletion(CONFIG_MAP, found)
    if seen.disruption_budget is not None and seen.workspace.spec.replicas <= 1:
        yield _deletion(POD_DISRUPTION_BUDGET, seen.disruption_budget)


def _deletion(kind: Kind, found: JsonObject) -> Delete:
    metadata = found["metadata"]
    return Delete(kind, metadata["namespace"], metadata["name"], metadata["uid"])


def _events(seen: Observed, readiness: Readiness) -> tuple[Event, ...]:
    """One event when the workspace becomes ready, and one when a person is needed."""
    conditions = seen.workspace.status.conditions
    if readiness.ready and not is_true(conditions, ConditionType.READY):
        return (Event(readiness.reason.value, readiness.message),)
    if readiness.stalled and not is_true(conditions, ConditionType.STALLED):
        return (Event(readiness.reason.value, readiness.message, warning=True),)
    return ()
