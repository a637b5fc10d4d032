"""What wakes a reconciler, and what happens when it fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from finetune_operator.cluster.client import Client
from finetune_operator.cluster.errors import ConflictError, UnavailableError
from finetune_operator.domain.kinds import FINE_TUNE_JOB
from finetune_operator.runtime.controller import Controller, Key
from finetune_operator.runtime.worker import Runner

KEY = Key("team", "chat")


def job(generation: int = 1, **metadata: Any) -> dict[str, Any]:
    given = {"name": "chat", "namespace": "team", "uid": "1", "generation": generation}
    return {"metadata": given | metadata}


class Calls:
    """A reconcile function that does what it is told, and counts."""

    def __init__(self, *ends: Exception | float | None) -> None:
        self._ends = list(ends)
        self.count = 0
        self.enough = asyncio.Event()

    async def __call__(self, key: Key) -> float | None:
        assert key == KEY
        self.count += 1
        end = self._ends.pop(0)
        if not self._ends:
            self.enough.set()
        if isinstance(end, Exception):
            raise end
        return end


def runner(calls: Calls) -> Runner:
    return Runner(Controller(FINE_TUNE_JOB, (), calls), cast(Client, None))


@pytest.fixture
async def idle() -> AsyncIterator[Runner]:
    yield runner(Calls(None))


async def queued(the_runner: Runner) -> bool:
    """Whether the key was added; takes it off the queue."""
    try:
        async with asyncio.timeout(0.01):
            key = await the_runner.queue.get()
    except TimeoutError:
        return False
    the_runner.queue.done(key)
    return True


async def test_own_status_writes_wake_nobody(idle: Runner) -> None:
    idle.saw(None, job())
    assert await queued(idle)
    idle.saw("MODIFIED", {**job(), "status": {"phase": "Training"}})
    assert not await queued(idle)


@pytest.mark.parametrize(
    ("event", "changed"),
    [
        ("MODIFIED", job(generation=2)),
        ("MODIFIED", job(deletionTimestamp="2026-11-22T10:00:00Z")),
        ("MODIFIED", job(labels={"kueue.x-k8s.io/queue-name": "research"})),
        ("ADDED", job()),
        (None, job()),
        ("DELETED", job()),
    ],
)
async def test_what_others_change_does(
    idle: Runner, event: str | None, changed: dict[str, Any]
) -> None:
    idle.saw(None, job())
    assert await queued(idle)
    idle.saw(event, changed)
    assert await queued(idle)


@pytest.mark.parametrize(
    "error",
    [ConflictError("changed"), UnavailableError("away"), RuntimeError("a defect"), TimeoutError()],
)
async def test_a_failed_call_is_made_again(error: Exception) -> None:
    calls = Calls(error, error, None)
    the_runner = runner(calls)
    worker = asyncio.create_task(the_runner.work())
    the_runner.queue.add(KEY)
    async with asyncio.timeout(10):
        await calls.enough.wait()
    assert not worker.done()
    worker.cancel()
    assert calls.count == 3


async def test_a_call_may_ask_for_the_next() -> None:
    calls = Calls(0.0, 0.01, None)
    the_runner = runner(calls)
    worker = asyncio.create_task(the_runner.work())
    the_runner.queue.add(KEY)
    async with asyncio.timeout(10):
        await calls.enough.wait()
    worker.cancel()


async def test_what_changes_goes_before_what_is_listed() -> None:
    the_runner = runner(Calls(None))
    for name in ("one", "two"):
        the_runner.saw(None, job(name=name))
    the_runner.saw("ADDED", job(name="new"))
    names = [(await the_runner.queue.get()).name for _ in range(3)]
    assert names == ["new", "one", "two"]


async def test_a_controller_may_say_that_an_object_needs_nothing() -> None:
    told: list[str | None] = []

    def saw(event: str | None, item: dict[str, Any]) -> bool:
        told.append(event)
        return event is not None

    controller = Controller(FINE_TUNE_JOB, (), Calls(None), saw)
    the_runner = Runner(controller, cast(Client, None))
    the_runner.saw(None, job())
    assert not await queued(the_runner)
    assert the_runner.knows(KEY)
    the_runner.saw("MODIFIED", {**job(), "status": {"phase": "Training"}})
    the_runner.saw("MODIFIED", job(generation=2))
    assert await queued(the_runner)
    the_runner.saw("DELETED", job(generation=2))
    assert told == [None, "MODIFIED", "DELETED"]
    assert not the_runner.knows(KEY)


async def test_a_resync_looks_through_pages_and_asks_of_each() -> None:
    class Pages:
        async def pages(self, kind: object) -> AsyncIterator[tuple[list[dict[str, Any]], str]]:
            yield [job(name="one"), job(name="rests")], ""
            yield [job(name="two")], ""

    def saw(event: str | None, item: dict[str, Any]) -> bool:
        return item["metadata"]["name"] != "rests"

    controller = Controller(FINE_TUNE_JOB, (), Calls(None), saw)
    the_runner = Runner(controller, cast(Client, Pages()))
    resync = asyncio.create_task(the_runner.resync(0.01))
    async with asyncio.timeout(10):
        names = [(await the_runner.queue.get()).name for _ in range(2)]
    resync.cancel()
    assert names == ["one", "two"]
