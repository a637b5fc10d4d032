"""The seed that was printed makes the same storm again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.cluster.resilience.chaos.schedule import (
    DISTURBED,
    HOUR,
    LEADER,
    REPLICAS,
    Answer,
    Kind,
    disturbance,
    schedule,
)


@given(st.integers(0, 10**6), st.integers(30, 900))
def test_the_seed_decides_everything(seed: int, seconds: int) -> None:
    faults = schedule(seed, seconds)
    assert faults == schedule(seed, seconds)
    assert [each.second for each in faults] == sorted(each.second for each in faults)
    assert all(0 <= each.second <= seconds for each in faults)
    assert {each.kind for each in faults} == set(Kind)
    assert all(abs(each.amount) <= HOUR for each in faults)
    assert {each.target for each in faults if each.kind is Kind.OPERATOR} <= {*REPLICAS, LEADER}


def test_another_seed_makes_another_storm() -> None:
    assert schedule(1, 600) != schedule(2, 600)
    assert [disturbance(1, "first", each) for each in range(50)] != [
        disturbance(1, "second", each) for each in range(50)
    ]


def test_three_requests_in_ten_are_disturbed_half_of_them_after_they_were_carried_out() -> None:
    found = [disturbance(7, "first", number) for number in range(10_000)]
    assert found == [disturbance(7, "first", number) for number in range(10_000)]
    struck = [each for each in found if each is not None]
    assert abs(len(struck) / len(found) - DISTURBED) < 0.02
    assert abs(len([each for each in struck if each.carried_out]) / len(struck) - 0.5) < 0.03
    assert {each.answer for each in struck} == set(Answer)
