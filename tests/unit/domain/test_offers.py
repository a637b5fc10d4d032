"""In which order nodes are asked for, and what is remembered of refusals."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from finetune_operator.api.compute import CapacityChoice
from finetune_operator.api.reason import Reason
from finetune_operator.domain.offers import available, offers, remembered
from finetune_operator.domain.provisioning import Offer, Refusal

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
TYPES = st.lists(st.sampled_from(["a", "b", "c", "d"]), unique=True).map(tuple)
REFUSALS = st.lists(
    st.builds(
        Refusal,
        offer=st.builds(Offer, st.sampled_from(["a", "b", "c", "d"]), st.booleans()),
        reason=st.just(Reason.INSUFFICIENT_CAPACITY),
        message=st.text(max_size=2000),
        seconds=st.floats(1, 86_400),
    )
)


def test_spot_of_every_type_comes_before_the_full_price() -> None:
    wanted = offers(("a", "b"), CapacityChoice.SPOT_PREFERRED)
    assert [str(each) for each in wanted] == ["a (Spot)", "b (Spot)", "a", "b"]
    assert [str(each) for each in offers((), CapacityChoice.ON_DEMAND)] == ["any instance type"]


@given(TYPES, st.sampled_from(CapacityChoice), REFUSALS, st.integers(0, 100_000))
def test_what_was_refused_is_asked_for_again_when_it_is_due_and_not_before(
    types: tuple[str, ...], choice: CapacityChoice, refusals: list[Refusal], seconds: int
) -> None:
    wanted = offers(types, choice)
    known = remembered((), refusals, NOW)
    later = NOW + timedelta(seconds=seconds)
    newest = {each.offer: each.seconds for each in refusals}
    assert available(wanted, known, later) == tuple(
        each for each in wanted if newest.get(each, 0) <= seconds
    )
    assert remembered(known, (), later) == tuple(each for each in known if each.until > later)
