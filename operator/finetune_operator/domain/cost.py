"""What nodes cost: a bill of lines, each of one kind of node at one price, and whole seconds.

Money is never added up; it is seconds times price, each time anew. So the sum is the same however
often, and by however many operators, it was counted.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from finetune_operator.api.fine_tune_job_status import Charge, Cost
from finetune_operator.domain.estimates import in_cents

_HOUR = 3600


@dataclass(frozen=True, slots=True)
class Held:
    """What a job holds at a time."""

    charge: Charge
    """Kind, number and price; its seconds mean nothing."""
    idle: bool
    """Whether no attempt is training."""


def begun(currency: str, now: datetime) -> Cost:
    """The bill of a job that has held nothing yet."""
    return Cost(currency=currency, updated_at=_second(now))


def counted(cost: Cost, held: Held | None, now: datetime) -> Cost:
    """The bill up to now, of a job that has held this ever since the last count.

    A clock that was set back adds nothing, and is waited for.
    """
    seconds = int((_second(now) - cost.updated_at).total_seconds())
    if seconds <= 0:
        return cost
    charges = cost.charges
    if held is not None:
        charges = _with(charges, held, seconds)
    return cost.model_copy(
        update={
            "charges": charges,
            "spent": _shown(sum(hourly(each) * each.seconds for each in charges), charges),
            "idle": _shown(sum(hourly(each) * each.idle_seconds for each in charges), charges),
            "updated_at": _second(now),
        }
    )


def spent(cost: Cost | None) -> Decimal:
    """Exactly; 0 of what no price is known of."""
    charges = cost.charges if cost else ()
    return Decimal(sum(hourly(each) * each.seconds for each in charges)) / _HOUR


def idle(cost: Cost | None) -> Decimal:
    """Of that, while no attempt was training."""
    charges = cost.charges if cost else ()
    return Decimal(sum(hourly(each) * each.idle_seconds for each in charges)) / _HOUR


def held_seconds(cost: Cost | None) -> int:
    """For how long nodes were held."""
    return sum(each.seconds for each in cost.charges) if cost else 0


def trained_seconds(cost: Cost | None) -> int:
    """For how long an attempt was training on them."""
    return sum(each.seconds - each.idle_seconds for each in cost.charges) if cost else 0


def hourly(charge: Charge) -> Decimal:
    """Of all its nodes; 0 where no price is known."""
    return Decimal(charge.hourly_price or 0) * charge.nodes


def spent_in_month(costs: Iterable[Cost], now: datetime) -> Decimal:
    """Of the jobs that held nodes in the month of `now`, in whole."""
    month = (now.year, now.month)
    return sum(
        (spent(each) for each in costs if (each.updated_at.year, each.updated_at.month) == month),
        Decimal(0),
    )


def price_of(cost: Cost | None, like: Charge) -> str | None:
    """What a job that has held such a node before has paid for it, and pays on."""
    charges = cost.charges if cost else ()
    return next((each.hourly_price for each in charges if _kind(each) == _kind(like)), None)


def _with(charges: Sequence[Charge], held: Held, seconds: int) -> tuple[Charge, ...]:
    idle = seconds if held.idle else 0
    new = held.charge.model_copy(update={"seconds": 0, "idle_seconds": 0})
    known = any(_line(each) == _line(new) for each in charges)
    return tuple(
        _more(each, seconds, idle) if _line(each) == _line(new) else each
        for each in (charges if known else (*charges, new))
    )


def _more(charge: Charge, seconds: int, idle: int) -> Charge:
    return charge.model_copy(
        update={"seconds": charge.seconds + seconds, "idle_seconds": charge.idle_seconds + idle}
    )


def _line(charge: Charge) -> tuple[object, ...]:
    return (*_kind(charge), charge.nodes, charge.hourly_price)


def _kind(charge: Charge) -> tuple[object, ...]:
    return (charge.instance_type, charge.capacity_type)


def _shown(price_seconds: Decimal | int, charges: Sequence[Charge]) -> str | None:
    """For people, rounded up; None where no price is known."""
    if all(each.hourly_price is None for each in charges):
        return None
    return str(in_cents(Decimal(price_seconds) / _HOUR))


def _second(moment: datetime) -> datetime:
    return moment.replace(microsecond=0)
