"""What exactly a job will run, on which machines, and what that takes: for whoever asks, before
anything is made or paid for."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fnmatch import fnmatchcase

from finetune_operator.api.compute import CapacityChoice, Compute
from finetune_operator.api.distribution import StrategyChoice
from finetune_operator.api.fine_tune_class import FineTuneClass
from finetune_operator.api.fine_tune_job import FineTuneJob
from finetune_operator.api.fine_tune_job_status import Plan
from finetune_operator.api.provisioner import ProvisionerType
from finetune_operator.domain.estimates import cost_of, in_cents, training_seconds
from finetune_operator.domain.instances.catalogue import instance, instances
from finetune_operator.domain.instances.prices import PriceList
from finetune_operator.domain.quantity import quantity_bytes, quantity_number
from finetune_operator.domain.recipe_builder import build_recipe
from finetune_operator.domain.sizing import Sized, Wanted, needs, size
from finetune_trainer import rules
from finetune_trainer.memory.catalogue import architecture_of
from finetune_trainer.memory.choose import choose
from finetune_trainer.memory.layout import Machine
from finetune_trainer.memory.sizing import gib, laid_out
from finetune_trainer.recipe import Device, Recipe, method_name

_GIB = 1 << 30
_NAMES_TYPES = (ProvisionerType.AKS, ProvisionerType.KAITO)
"""Provisioners that have to be told the machine; others choose it by what the pods need."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """What is known of the nodes that are there."""

    has_gpu_nodes: bool = False
    gpu_memory: int | None = None
    """Bytes of the smallest GPU."""


def planned(
    job: FineTuneJob,
    its_class: FineTuneClass | None,
    cluster: Cluster,
    prices: PriceList,
    types: Sequence[str] = (),
) -> Sized:
    """The job's recipe and the machines for it; a refusal where none will do.

    Args:
        its_class: None where it is no longer there.
        types: machines that were chosen before; the plan chooses, where empty.
    """
    compute = job.spec.compute
    named = tuple(types) or compute.instance_types
    recipe = build_recipe(job, _device(compute, its_class, named, cluster))
    wanted = _wanted(job, its_class, named)
    if refusal := _uncountable(its_class, wanted):
        return Sized(recipe, refusal=refusal)
    if recipe.compute.device is Device.GPU and (named or _chooses(its_class)):
        sized = size(
            recipe,
            architecture_of(recipe.model.storage_uri),
            wanted,
            prices,
            lambda gpus: build_recipe(_with_gpus(job, gpus), Device.GPU),
        )
    else:
        sized = _sized_for(recipe, _machine(recipe, compute, cluster), _priced(wanted, prices))
    if not sized.types and not sized.refusal:
        sized = replace(sized, refusal=_unnamed(its_class, wanted, prices))
    return sized if sized.refusal else replace(sized, refusal=_too_few(sized, compute, cluster))


def _too_few(sized: Sized, compute: Compute, cluster: Cluster) -> str:
    """Why compute.minNodes are too few where compute.nodes are not; empty where they will do."""
    fewest = compute.min_nodes
    if fewest is None or fewest == compute.nodes:
        return ""
    recipe = sized.recipe.on(fewest)
    known = rules.problems(sized.recipe)
    problems = [each for each in rules.problems(recipe) if each not in known]
    architecture = architecture_of(recipe.model.storage_uri)
    if architecture is not None:
        for name, machine in _machines(sized, compute, cluster):
            if machine.memory is None or not choose(sized.recipe, architecture, machine).fits:
                continue
            choice = choose(recipe, architecture, machine)
            if not choice.fits:
                problems.append(f"{name} has {gib(machine.memory)}, and {needs(recipe, choice)}")
    return f"with compute.minNodes {fewest}: {'; '.join(problems)}" if problems else ""


def _machines(sized: Sized, compute: Compute, cluster: Cluster) -> list[tuple[str, Machine]]:
    """What a process may compute on, as far as it is known."""
    found = [(each, instance(each)) for each in sized.types]
    if sized.recipe.compute.device is Device.GPU and found:
        return [(f"a GPU of {name}", each.gpu.machine) for name, each in found if each]
    named = "a GPU" if sized.recipe.compute.device is Device.GPU else "a pod"
    return [(named, _machine(sized.recipe, compute, cluster))]


def plan_of(sized: Sized, compute: Compute, its_class: FineTuneClass, prices: PriceList) -> Plan:
    """How it is carried out, as the status shows it."""
    recipe, types = sized.recipe, sized.types
    made = Plan(
        device=recipe.compute.device,
        nodes=recipe.compute.nodes,
        gpus_per_node=recipe.compute.gpus_per_node,
        method=method_name(recipe.method.type, recipe.quantization.type),
        strategy=_strategy(recipe),
        instance_type=types[0] if types else None,
        alternatives=types[1:],
    )
    if sized.choice and recipe.compute.device is Device.GPU:
        needed = -(-sized.choice.estimate.total // _GIB)
        made = made.model_copy(update={"memory_per_gpu": f"{needed}Gi"})
    spot = compute.capacity_type is not CapacityChoice.ON_DEMAND
    got = its_class.spec.provisioner.type is not ProvisionerType.EXISTING
    hourly = prices.hourly(types[0], spot=spot) if types and got else None
    if hourly is not None:
        guessed = ", on demand" if spot and types[0] not in prices.spot else ""
        made = made.model_copy(
            update={
                "hourly_price": str(hourly * made.nodes),
                "price_source": f"{prices.source}{guessed}",
            }
        )
    return with_time(made, recipe, recipe.training.max_steps)


def with_time(plan: Plan, recipe: Recipe, steps: int | None, tflops: float | None = None) -> Plan:
    """The plan with the time and the cost of so many steps, as far as they can be known.

    Args:
        tflops: 10¹² operations a second that each process reaches, where somebody knows it.
    """
    machine = instance(plan.instance_type or "")
    architecture = architecture_of(recipe.model.storage_uri)
    if steps is None or machine is None or architecture is None:
        return plan
    choice = choose(recipe, architecture, machine.gpu.machine)
    seconds = training_seconds(recipe, architecture, machine, choice, steps, tflops=tflops)
    if seconds is None:
        return plan
    price = plan.hourly_price
    cost = None if price is None else str(cost_of(Decimal(price), seconds))
    return plan.model_copy(update={"estimated_duration_seconds": seconds, "estimated_cost": cost})


def at_its_pace(plan: Plan, trained: int, remaining: int, spent: Decimal, hourly: Decimal) -> Plan:
    """The plan with the time and the cost that a running training itself foretells.

    Args:
        trained: seconds that it has trained so far.
        remaining: seconds that are left at its pace.
        spent: what its nodes have cost so far, idle ones included.
        hourly: what they cost an hour; 0 where that is not known.
    """
    cost = str(in_cents(spent + hourly * remaining / 3600)) if hourly else None
    seconds = trained + remaining
    return plan.model_copy(update={"estimated_duration_seconds": seconds, "estimated_cost": cost})


def _device(
    compute: Compute,
    its_class: FineTuneClass | None,
    named: Sequence[str],
    cluster: Cluster,
) -> Device:
    """Auto: a GPU, where a node has one or one is got; of machines that are named, it is known."""
    choice = compute.device.value
    if choice != "Auto":
        return Device(choice)
    if named:
        gpus = any(instance(each) for each in named)
    else:
        gpus = cluster.has_gpu_nodes if its_class is None else _gets_gpus(its_class, cluster)
    return Device.GPU if gpus else Device.CPU


def _gets_gpus(its_class: FineTuneClass, cluster: Cluster) -> bool:
    """Whether the nodes of a class have GPUs, also where it has none at the moment: by the machines
    that it allows. One that allows all is for GPUs where it makes nodes for jobs; of Karpenter's
    NodePools nothing is known then but the nodes that are there."""
    provisioner = its_class.spec.provisioner.type
    if provisioner is ProvisionerType.EXISTING:
        return cluster.has_gpu_nodes
    if not its_class.spec.allowed.instance_types:
        return provisioner in _NAMES_TYPES or cluster.has_gpu_nodes
    return _allows_known(its_class)


def _wanted(job: FineTuneJob, its_class: FineTuneClass | None, named: tuple[str, ...]) -> Wanted:
    resources = job.spec.compute.pod_template.resources
    asked = {**resources.limits, **resources.requests}
    return Wanted(
        named=named,
        patterns=its_class.spec.allowed.instance_types if its_class else (),
        cpus=quantity_number(str(asked.get("cpu", "0"))),
        memory=quantity_bytes(str(asked.get("memory", "0"))),
        priced=its_class is not None and costs_are_limited(job, its_class),
    )


def costs_are_limited(job: FineTuneJob, its_class: FineTuneClass) -> bool:
    """Whether money has to be counted, and so has to be known."""
    budget = its_class.spec.budget
    limits = (
        job.spec.budget.max_cost,
        budget.max_cost_per_job,
        budget.max_cost_per_namespace_per_month,
    )
    return any(each is not None for each in limits)


def _chooses(its_class: FineTuneClass | None) -> bool:
    """Whether the plan chooses machines where none is named: where it has to, and for Karpenter
    where the class allows some of the catalogue, because a GPU of any size will not do."""
    if its_class is None:
        return False
    provisioner = its_class.spec.provisioner.type
    return provisioner in _NAMES_TYPES or (
        provisioner is ProvisionerType.KARPENTER and _allows_known(its_class)
    )


def _allows_known(its_class: FineTuneClass) -> bool:
    """Whether it names machines of the catalogue, which have GPUs, as allowed."""
    patterns = its_class.spec.allowed.instance_types
    return any(fnmatchcase(each.name, pattern) for each in instances() for pattern in patterns)


def _uncountable(its_class: FineTuneClass | None, wanted: Wanted) -> str:
    """Why money cannot be counted at all; empty where it can, or need not."""
    if not wanted.priced or its_class is None:
        return ""
    if its_class.spec.provisioner.type is not ProvisionerType.EXISTING:
        return ""
    return (
        f"budget.maxCost cannot be kept: FineTuneClass {its_class.metadata.name} uses the nodes"
        " that there are, whose cost is not known: remove it, or set budget.maxDurationSeconds"
    )


def _unnamed(its_class: FineTuneClass | None, wanted: Wanted, prices: PriceList) -> str:
    """What is missing where no machine was named and the plan cannot choose; empty if nothing."""
    if its_class is None:
        return ""
    name, provisioner = its_class.metadata.name, its_class.spec.provisioner.type
    some = ", ".join(wanted.patterns) or "Standard_NC24ads_A100_v4"
    name_them = f"name one or more, such as {some}"
    if wanted.priced:
        return (
            "a budget of money can only be kept with machines whose price is known"
            f" ({prices.source}), and compute.instanceTypes names none: {name_them}"
        )
    if provisioner in _NAMES_TYPES:
        return (
            f"compute.instanceTypes names none, and FineTuneClass {name} gets nodes from"
            f" {provisioner}, which has to be told; the plan chooses only for GPUs and for models"
            f" of its catalogue: {name_them}"
        )
    return ""


def _priced(wanted: Wanted, prices: PriceList) -> tuple[str, ...]:
    """The machines that were named, but for those of which no price is known and has to be."""
    return tuple(
        each
        for each in wanted.named
        if not wanted.priced or prices.hourly(each, spot=False) is not None
    )


def _sized_for(recipe: Recipe, machine: Machine, types: tuple[str, ...]) -> Sized:
    """With the fastest layout that fits, where both the model and the memory are known; else the
    trainer chooses it."""
    architecture = architecture_of(recipe.model.storage_uri)
    if architecture is None or machine.memory is None:
        return Sized(recipe, types)
    made, choice = laid_out(recipe, architecture, machine)
    return Sized(made, types, choice)


def _machine(recipe: Recipe, compute: Compute, cluster: Cluster) -> Machine:
    if recipe.compute.device is Device.GPU:
        return Machine(gpu=True, bf16=True, memory=cluster.gpu_memory)
    # Whether the processor has bfloat16 is not known yet: the greater need decides.
    return Machine(gpu=False, bf16=False, memory=pod_memory(compute))


def pod_memory(compute: Compute) -> int | None:
    """Bytes that a training pod is limited to; None where it is not."""
    limit = compute.pod_template.resources.limits.get("memory")
    return None if limit is None else quantity_bytes(str(limit))


def _with_gpus(job: FineTuneJob, gpus: int) -> FineTuneJob:
    compute = job.spec.compute.model_copy(update={"gpus_per_node": gpus})
    return job.model_copy(update={"spec": job.spec.model_copy(update={"compute": compute})})


def _strategy(recipe: Recipe) -> StrategyChoice:
    _, *others = recipe.strategies
    return StrategyChoice.AUTO if others else StrategyChoice(recipe.strategy.value)
