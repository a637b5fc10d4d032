"""Whatever the clock of this machine shows, now is what the API server's shows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

from hypothesis import given
from hypothesis import strategies as st

from finetune_operator.cluster.clock import ServerClock

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


class Times:
    """The clocks of a server and of this machine, of which the monotonic one alone is right."""

    def __init__(self) -> None:
        self.passed = 0.0
        self.wrong_by = timedelta(0)
        self.clock = ServerClock(lambda: self.server + self.wrong_by, lambda: 500 + self.passed)

    @property
    def server(self) -> datetime:
        return NOON + timedelta(seconds=self.passed)

    def ask(self, there: float = 0.0, back: float = 0.0) -> None:
        """A request that takes so many seconds each way."""
        sent = 500 + self.passed
        self.passed += there
        date = format_datetime(self.server.replace(microsecond=0), usegmt=True)
        self.passed += back
        self.clock.heard(date, sent, 500 + self.passed)


def test_until_the_server_has_said_it_the_own_clock_has_to_do() -> None:
    times = Times()
    times.wrong_by = HOUR
    assert times.clock.now() == NOON + HOUR
    times.clock.heard(None, 1.0, 2.0)
    times.clock.heard("yesterday", 1.0, 2.0)
    assert times.clock.now() == NOON + HOUR


def test_the_own_clock_jumps_and_nobody_notices() -> None:
    times = Times()
    times.ask()
    for times.wrong_by in (HOUR, -HOUR):
        times.passed += 10
        assert times.clock.now() == times.server


def test_it_follows_a_server_that_was_set_right() -> None:
    times = Times()
    times.ask()
    times.clock.heard(format_datetime(NOON - HOUR, usegmt=True), 500.0, 500.0)
    assert NOON - HOUR <= times.clock.now() <= NOON - HOUR + timedelta(seconds=1)


delays = st.floats(0, 30)


@given(st.lists(st.tuples(delays, delays, delays), min_size=1))
def test_it_is_never_further_off_than_an_answer_took_and_never_goes_back(
    requests: list[tuple[float, float, float]],
) -> None:
    times = Times()
    least_wrong = float("inf")
    before = None
    for pause, there, back in requests:
        times.passed += pause
        times.ask(there, back)
        now = times.clock.now()
        least_wrong = min(least_wrong, there + back)
        off = abs((now - times.server).total_seconds())
        assert off <= least_wrong + 1 + 1e-3
        assert before is None or now >= before - timedelta(milliseconds=1)
        before = now
