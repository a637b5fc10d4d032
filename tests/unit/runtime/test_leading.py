"""In which order the replica that leads stops, whatever stops it."""

from __future__ import annotations

import asyncio
from typing import Any, Never, cast

import pytest

from finetune_operator.cluster.client import Client
from finetune_operator.cluster.lease import LeadershipLostError, Unopposed
from finetune_operator.domain.kinds import FINE_TUNE_JOB
from finetune_operator.runtime.controller import Controller, Key
from finetune_operator.runtime.leading import lead
from finetune_operator.runtime.worker import Runner


class Course:
    """Watches, a worker that never ends by itself, and a leadership; each says when it ends."""

    def __init__(self) -> None:
        self.ended: list[str] = []
        self.at_work = asyncio.Event()
        self.lost = asyncio.Event()
        self.watches_end = asyncio.Event()
        self.runner = Runner(Controller(FINE_TUNE_JOB, (), self.reconcile), cast(Client, None))
        self.runner.queue.add(Key("team", "chat"))

    async def reconcile(self, key: Key) -> float | None:
        self.at_work.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.ended.append("worker")
        return None

    async def watches(self) -> None:
        try:
            await self.watches_end.wait()
        finally:
            self.ended.append("watches")

    def led(self) -> asyncio.Task[None]:
        return asyncio.create_task(lead(Held(self), self.watches(), [self.runner], 600))


class Held(Unopposed):
    def __init__(self, course: Course) -> None:
        self.course = course

    async def keep(self) -> Never:
        await self.course.lost.wait()
        raise LeadershipLostError("another leads")

    async def release(self) -> None:
        self.course.ended.append("release")


async def test_told_to_end_it_gives_the_lease_back_once_nothing_works() -> None:
    course = Course()
    leading = course.led()
    await course.at_work.wait()
    leading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leading
    assert course.ended == ["worker", "release", "watches"]


@pytest.mark.parametrize(("what", "raised"), [("lost", LeadershipLostError), ("watches_end", None)])
async def test_with_any_part_all_end(what: str, raised: Any) -> None:
    course = Course()
    leading = course.led()
    await course.at_work.wait()
    getattr(course, what).set()
    async with asyncio.timeout(10):
        [error] = await asyncio.gather(leading, return_exceptions=True)
    assert error is None if raised is None else isinstance(error, raised)
    assert sorted(course.ended) == ["release", "watches", "worker"]
    assert course.ended.index("worker") < course.ended.index("release")
