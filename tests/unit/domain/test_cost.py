"""What nodes cost: the same sum however often, and by however many operators, it is counted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import ROUND_CEILING, Decimal

from hypothesis import given
from hypothesis import strategies as st

from finetune_operator.api.fine_tune_job_status import Charge, Cost
from finetune_operator.domain import cost
from finetune_operator.domain.cost import Held

START = datetime(2026, 11, 30, 23, 0, tzinfo=UTC)
KINDS = [
    Charge(instance_type="a", capacity_type="OnDemand", nodes=2, hourly_price="3.673"),
    Charge(instance_type="a", capacity_type="Spot", nodes=2, hourly_price="0.7"),
    Charge(instance_type="b", capacity_type="OnDemand", nodes=1, hourly_price="98.32"),
    Charge(nodes=3),
]
HELD = st.none() | st.builds(Held, st.sampled_from(KINDS), st.booleans())
LIFE = st.lists(st.tuples(HELD, st.integers(0, 5000)), max_size=12)


def counted(life: list[tuple[Held | None, int]], every: int | None = None) -> Cost:
    """The bill after a life, counted at each change and perhaps every so many seconds between."""
    bill, now = cost.begun("USD", START), START
    for held, seconds in life:
        for passed in range(every, seconds, every) if every else ():
            stored = bill.to_dict()  # as another operator reads it
            bill = cost.counted(
                Cost.from_stored(stored), held, now + timedelta(seconds=passed, microseconds=7)
            )
        now += timedelta(seconds=seconds)
        bill = cost.counted(bill, held, now)
    return bill


@given(LIFE, st.integers(50, 1000))
def test_the_sum_does_not_depend_on_when_it_is_counted(
    life: list[tuple[Held | None, int]], every: int
) -> None:
    assert counted(life, every) == counted(life)


@given(LIFE)
def test_the_sum_is_exact(life: list[tuple[Held | None, int]]) -> None:
    bill = counted(life)
    held = [(each, seconds) for each, seconds in life if each is not None and seconds]
    exact = sum((cost.hourly(each.charge) * seconds for each, seconds in held), Decimal(0)) / 3600
    assert cost.spent(bill) == exact
    assert cost.held_seconds(bill) == sum(seconds for _, seconds in held)
    idle = sum(
        (cost.hourly(each.charge) * seconds for each, seconds in held if each.idle), Decimal(0)
    )
    cents = Decimal("0.01")
    if any(each.charge.hourly_price for each, _ in held):
        assert bill.spent == str(exact.quantize(cents, ROUND_CEILING))
        assert bill.idle == str((idle / 3600).quantize(cents, ROUND_CEILING))
    else:
        assert (bill.spent, bill.idle) == (None, None)


@given(LIFE)
def test_it_never_falls(life: list[tuple[Held | None, int]]) -> None:
    sums = [cost.spent(counted(life[:length])) for length in range(len(life) + 1)]
    assert sums == sorted(sums)


def test_a_clock_that_is_set_back_adds_nothing_and_counts_nothing_twice() -> None:
    held = Held(KINDS[0], idle=False)
    bill = cost.counted(cost.begun("USD", START), held, START + timedelta(seconds=100))
    back = cost.counted(bill, held, START + timedelta(seconds=40))
    assert back == bill
    assert cost.held_seconds(cost.counted(back, held, START + timedelta(seconds=160))) == 160


def test_a_job_pays_on_what_it_has_paid_for_a_node_of_the_kind() -> None:
    bill = cost.counted(
        cost.begun("USD", START), Held(KINDS[1], idle=True), START + timedelta(seconds=5)
    )
    unpriced = KINDS[1].model_copy(update={"hourly_price": None})
    assert cost.price_of(bill, unpriced) == "0.7"
    assert cost.price_of(bill, KINDS[0]) is None
    assert cost.price_of(None, KINDS[0]) is None


def test_a_month_is_that_in_which_a_job_last_held_nodes() -> None:
    held = Held(KINDS[2], idle=False)
    november = cost.counted(cost.begun("USD", START), held, START + timedelta(minutes=30))
    december = cost.counted(november, held, START + timedelta(hours=2))
    assert cost.spent_in_month([november, december], START) == cost.spent(november)
    later = START + timedelta(days=9)
    assert cost.spent_in_month([november, december], later) == cost.spent(december)
