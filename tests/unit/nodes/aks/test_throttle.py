"""Writes of agent pools, however many want to, go as slowly as Azure said and in their order."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from finetune_operator.nodes.aks.throttle import BUCKET, Throttle
from tests.unit.nodes.aks.builders import START


def test_nothing_waits_that_azure_has_not_refused() -> None:
    throttle = Throttle()
    for number in range(100):
        assert throttle.turn(f"pool{number}", START) == (0.0, 0)
        throttle.sent(f"pool{number}", START)


@given(pace=st.integers(1, 300), waiting=st.integers(1, 30), late=st.floats(0, 30))
def test_after_a_refusal_they_go_one_at_a_time(pace: int, waiting: int, late: float) -> None:
    throttle, now = Throttle(), START
    throttle.refused("pool0", now, pace)
    due = {f"pool{number}": now for number in range(waiting)}
    sent: list[tuple[float, str]] = []
    while due:
        pool, now = min(due.items(), key=lambda each: each[1])
        wait, _ = throttle.turn(pool, now)
        if wait > 0:
            due[pool] = now + timedelta(seconds=wait + late)
            continue
        throttle.sent(pool, now)
        sent.append(((now - START).total_seconds(), pool))
        del due[pool]
    times = [0.0, *(time for time, _ in sent)]
    gaps = [after - before for before, after in pairwise(times)]
    assert all(gap >= pace - 1e-6 for gap in gaps)
    assert times[-1] <= waiting * (pace + late) + late + 1
    assert len(sent) == waiting


def test_it_is_forgotten_when_the_bucket_must_be_full_again() -> None:
    throttle = Throttle()
    throttle.refused("pool", START, 60)
    assert throttle.turn("other", START + timedelta(seconds=59))[0] > 0
    later = START + timedelta(seconds=60 * (BUCKET + 1))
    assert [throttle.turn(f"pool{number}", later) for number in range(3)] == [(0.0, 0)] * 3
