"""Budget: count what the job's nodes cost, and say when it has to stop so that it can still save.

It has to stop while what is left pays for the checkpoint, the end of the pods and the way of the
nodes back; and it starts only if there is more left than that. So it never starts to stop.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from finetune_operator.api.conditions import ConditionType
from finetune_operator.api.fine_tune_job_status import Charge, FineTuneJobStatus, Nodes, Phase
from finetune_operator.domain import cost
from finetune_operator.domain.cost import Held
from finetune_operator.domain.lifecycle.work import Work
from finetune_operator.domain.manifests.train import GRACE_SECONDS
from finetune_operator.domain.names import Role
from finetune_operator.domain.offers import offers
from finetune_operator.domain.planning import at_its_pace

STOPPING_SECONDS = GRACE_SECONDS + 60
"""For the checkpoint that is written on SIGTERM, and for giving the nodes back."""

WORTH_STARTING_SECONDS = 60
"""That have to be left beside it."""

COUNTED_SECONDS = 300
"""How often costs are written although nothing else is."""


@dataclass(frozen=True, slots=True)
class Limit:
    """Something of which only so much may be used."""

    field: str
    """Where it is set."""
    used: Decimal
    allowed: Decimal
    rate: Decimal
    """Used in a second; 0 where that is not known."""
    unit: str

    def seconds_left(self) -> float:
        """Until it is used up."""
        return float((self.allowed - self.used) / self.rate)

    def __str__(self) -> str:
        digits = 0 if self.unit == "s" else 2
        return f"{self.field} is {self.allowed} {self.unit}, and {self.used:.{digits}f} are used"


def over_budget(work: Work) -> str | None:
    """Why no node may be held any longer; None while there is room, or nothing left to train."""
    if work.status.plan is None or work.holds(ConditionType.TRAINED):
        return None
    held = _held(work.job.status, work)
    reserve = STOPPING_SECONDS + (0 if held else WORTH_STARTING_SECONDS)
    for limit in _limits(work, held):
        if limit.rate == 0:
            return (
                f"{limit.field} cannot be kept, because what the job's nodes cost is not known:"
                " remove it, or use machines whose price is known"
            )
        left = limit.seconds_left() - reserve
        if left <= 0:
            return f"{limit}: raise it to go on from the checkpoint"
        if held:
            work.again(math.ceil(left))
    return None


def used(work: Work) -> float | None:
    """The largest share of any limit that is used; None without limits, or once it is trained."""
    if work.status.plan is None or work.over or work.holds(ConditionType.TRAINED):
        return None
    limits = _limits(work, _held(work.job.status, work))
    return max((float(each.used / each.allowed) for each in limits), default=None)


def count(work: Work) -> None:
    """Writes down what was held since it was last written down, if anything is written at all."""
    _see_machine(work)
    stored = work.job.status
    held, next_held = _held(stored, work), _held(work.status, work)
    if next_held is not None:
        work.again(COUNTED_SECONDS)
    if stored.cost is None:
        if next_held is not None:
            work.update(cost=cost.begun(_currency(work), work.now))
        return
    due = (work.now - stored.cost.updated_at).total_seconds() >= COUNTED_SECONDS
    if held is None and next_held is None:
        return
    if due or work.status != stored:
        work.update(cost=cost.counted(stored.cost, held, work.now))
    if work.status.progress != stored.progress and next_held is not None:
        _foretell(work, next_held)


def _foretell(work: Work, held: Held) -> None:
    """What the trainer says is left is better known than any estimate before."""
    posted, bill = work.seen.progress, work.status.cost
    if posted is None or posted.remaining_seconds is None or held.idle:
        return
    work.update(
        plan=at_its_pace(
            work.plan,
            cost.trained_seconds(bill),
            posted.remaining_seconds,
            cost.spent(bill),
            cost.hourly(held.charge),
        )
    )


def _limits(work: Work, held: Held | None) -> Iterator[Limit]:
    budget = work.spec.budget
    so_far = work.job.status.cost
    if so_far is not None:
        so_far = cost.counted(so_far, held, work.now)
    if budget.max_duration_seconds is not None:
        used, allowed = cost.held_seconds(so_far), budget.max_duration_seconds
        name = "budget.maxDurationSeconds"
        yield Limit(name, Decimal(used), Decimal(allowed), Decimal(1), "s")
    price = cost.hourly(held.charge) if held else Decimal(work.plan.hourly_price or 0)
    spent = cost.spent(so_far)
    for field, amount, others in _amounts(work):
        yield Limit(field, spent + others, Decimal(amount), price / 3600, _currency(work))


def _amounts(work: Work) -> Iterator[tuple[str, str, Decimal]]:
    """Every limit of money: where it is set, how much, and what others have spent of it."""
    if work.spec.budget.max_cost is not None:
        yield "budget.maxCost", work.spec.budget.max_cost, Decimal(0)
    its_class = work.seen.finetune_class
    if its_class is None:
        return
    of_class, name = its_class.spec.budget, its_class.metadata.name
    if of_class.max_cost_per_job is not None:
        field = f"budget.maxCostPerJob of FineTuneClass {name}"
        yield field, of_class.max_cost_per_job, Decimal(0)
    if of_class.max_cost_per_namespace_per_month is not None:
        field = f"budget.maxCostPerNamespacePerMonth of FineTuneClass {name}"
        yield field, of_class.max_cost_per_namespace_per_month, work.seen.costs.month_spent


def _held(status: FineTuneJobStatus, work: Work) -> Held | None:
    """What a job in this state holds: what it got of a provider, or the nodes that it trains on."""
    nodes, plan, training = status.nodes or Nodes(), status.plan, status.phase is Phase.TRAINING
    if plan is None or (nodes.instance_type is None and not training):
        return None
    kind, paid = nodes.instance_type, nodes.capacity_type
    if kind is None and plan.hourly_price is not None:
        # What nodes that come with the pods are is seen a moment later: until then, as planned.
        kind, paid = (
            plan.instance_type,
            offers((), work.spec.compute.capacity_type)[0].capacity_type,
        )
    some = status.attempts.nodes if status.attempts else None
    # A provider may have given more than can share the batch.
    number = max(some, work.seen.provision.nodes or 0) if some else plan.nodes
    charge = Charge(instance_type=kind, capacity_type=paid, nodes=number)
    return Held(charge.model_copy(update={"hourly_price": _price(charge, work)}), not training)


def _price(charge: Charge, work: Work) -> str | None:
    """The price at which the job first held such a node; today's, where it never did."""
    if charge.instance_type is None:
        return None
    known = cost.price_of(work.job.status.cost, charge)
    if known is not None:
        return known
    spot = charge.capacity_type == "Spot"
    hourly = work.seen.costs.prices.hourly(charge.instance_type, spot=spot)
    return None if hourly is None else str(hourly)


def _see_machine(work: Work) -> None:
    """Nodes that come and go with the pods are known by what the pods run on."""
    nodes, machine = work.status.nodes or Nodes(), work.seen.costs.machine
    provision = work.seen.provision
    running = any(pod.node and not pod.over for pod in work.seen.pods_of(Role.TRAIN))
    held = running or provision.held or provision.offer is not None
    if running and machine is not None:
        seen = {"instance_type": machine.instance_type, "capacity_type": machine.capacity_type}
        work.update(nodes=nodes.model_copy(update=seen))
    elif not held and nodes.instance_type is not None and work.seen.nodes_wanted:
        gone = {"instance_type": None, "capacity_type": None}
        work.update(nodes=nodes.model_copy(update=gone))


def _currency(work: Work) -> str:
    return work.seen.costs.prices.currency
