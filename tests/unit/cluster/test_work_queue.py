"""The queue keeps client-go's promises; time is a number that the tests step."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from finetune_operator.cluster.work_queue import LONGEST_RETRY_SECONDS, WorkQueue


class SteppedTimer:
    """A timer whose time passes only in `advance`."""

    def __init__(self) -> None:
        self.now = 0.0
        self._calls: list[_Call] = []

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, callback: Callable[..., object], *args: object) -> _Call:
        call = _Call(self.now + delay, callback, args)
        self._calls.append(call)
        return call

    def advance(self, seconds: float) -> None:
        self.now += seconds
        due = [call for call in self._calls if call.at <= self.now]
        self._calls = [call for call in self._calls if call.at > self.now]
        for call in sorted(due, key=lambda call: call.at):
            call.run()


class _Call:
    def __init__(self, at: float, callback: Callable[..., object], args: tuple[object, ...]):
        self.at = at
        self._callback: Callable[..., object] | None = callback
        self._args = args

    def when(self) -> float:
        return self.at

    def cancel(self) -> None:
        self._callback = None

    def run(self) -> None:
        if self._callback is not None:
            self._callback(*self._args)


@pytest.fixture
def timer() -> SteppedTimer:
    return SteppedTimer()


@pytest.fixture
async def queue(timer: SteppedTimer) -> WorkQueue[str]:
    return WorkQueue("test", timer)


async def is_empty(queue: WorkQueue[str]) -> bool:
    """Whether a worker that asks now would have to wait."""
    asking = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    if asking.done():
        return False
    asking.cancel()
    return True


async def test_a_waiting_key_waits_once(queue: WorkQueue[str]) -> None:
    queue.add("a")
    queue.add("a")
    assert await queue.get() == "a"
    queue.done("a")
    assert await is_empty(queue)


async def test_a_key_at_work_is_not_given_out_again_before_it_is_done(
    queue: WorkQueue[str],
) -> None:
    queue.add("a")
    await queue.get()
    queue.add("a")
    queue.add("a")
    assert await is_empty(queue)
    queue.done("a")
    assert await queue.get() == "a"
    queue.done("a")
    assert await is_empty(queue)


async def test_keys_come_in_the_order_in_which_they_were_added(queue: WorkQueue[str]) -> None:
    for key in "abc":
        queue.add(key)
    assert [await queue.get() for _ in range(3)] == ["a", "b", "c"]


async def test_of_several_delays_the_soonest_counts(
    queue: WorkQueue[str], timer: SteppedTimer
) -> None:
    queue.add_after("a", 30)
    queue.add_after("a", 10)
    queue.add_after("a", 20)
    timer.advance(9.9)
    assert await is_empty(queue)
    timer.advance(0.2)
    assert await queue.get() == "a"
    queue.done("a")
    timer.advance(100)
    assert await is_empty(queue)


async def test_no_delay_is_now(queue: WorkQueue[str]) -> None:
    queue.add_after("a", 0)
    assert await queue.get() == "a"


async def test_back_off_doubles_is_bounded_and_ends_with_success(queue: WorkQueue[str]) -> None:
    delays = [queue.retry("a") for _ in range(40)]
    for index, delay in enumerate(delays):
        full = min(0.2 * 2**index, LONGEST_RETRY_SECONDS)
        assert full / 2 <= delay <= full
    assert queue.retry("b") <= 0.2, "each key has a back-off of its own"
    queue.forget("a")
    assert queue.retry("a") <= 0.2


async def test_the_oldest_work_is_known(queue: WorkQueue[str], timer: SteppedTimer) -> None:
    assert queue.longest_running_seconds() == 0
    queue.add("a")
    await queue.get()
    timer.advance(5)
    queue.add("b")
    await queue.get()
    timer.advance(5)
    assert queue.longest_running_seconds() == 10
    queue.done("a")
    assert queue.longest_running_seconds() == 5


async def test_patient_keys_let_all_others_go_first(queue: WorkQueue[str]) -> None:
    for key in ("a", "b", "c"):
        queue.add(key, patient=True)
    queue.add("new")
    queue.add("c")
    queue.add("new", patient=True)
    assert [await queue.get() for _ in range(4)] == ["new", "c", "a", "b"]
    assert await is_empty(queue)


async def test_a_key_that_is_worked_on_is_worked_on_again_whoever_asks(
    queue: WorkQueue[str],
) -> None:
    queue.add("a")
    await queue.get()
    queue.add("a", patient=True)
    assert await is_empty(queue)
    queue.done("a")
    assert await queue.get() == "a"
