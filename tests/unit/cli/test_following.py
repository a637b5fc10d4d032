"""`logs --follow` over a story: real decisions, real requests, and a server that breaks off."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from rich.console import Console

from finetune_operator.cli.following import Follower
from finetune_operator.cli.log_sources import Wanted
from finetune_operator.cli.log_writer import LogWriter
from finetune_operator.domain.names import Role
from finetune_trainer.exit_codes import ExitCode
from tests.unit.cli.stories import TWO_NODES, Story
from tests.unit.cli.story_server import StoryServer
from tests.unit.domain.in_memory import Object
from tests.unit.domain.lifecycle.looks import edit

LINES = 3
SAID = [f"train says {number}" for number in range(LINES)]


class Screen(io.StringIO):
    """Tells when something was written."""

    def __init__(self) -> None:
        super().__init__()
        self._written = asyncio.Event()

    def write(self, text: str) -> int:
        self._written.set()
        return super().write(text)

    async def until(self, *lines: str) -> None:
        async with asyncio.timeout(5):
            while not set(lines) <= set(self.lines()):
                self._written.clear()
                await self._written.wait()

    def lines(self, prefix: str = "") -> list[str]:
        return [line for line in self.getvalue().splitlines() if line.startswith(prefix)]


@asynccontextmanager
async def followed(
    story: Story, **wanted: Any
) -> AsyncIterator[tuple[StoryServer, Screen, asyncio.Task[int]]]:
    tail = wanted.pop("tail", None)
    server, screen = StoryServer(story, LINES), Screen()
    async with server.client() as client:
        writer = LogWriter(Console(file=screen), prefixes=True)
        follower = Follower(client, story.job, Wanted(**wanted), writer, tail)
        task = asyncio.create_task(follower.follow())
        async with asyncio.timeout(20):
            yield server, screen, task
        assert task.done()


def both_run(story: Story) -> list[Object]:
    """Both pods of an attempt run."""
    story.to_training()
    pods = story.pods()
    for pod in pods:
        story.run(pod)
    story.settle()
    return pods


def train_says(attempt: int, rank: int) -> list[str]:
    return [f"train-{attempt}/{rank}  {line}" for line in SAID]


async def test_from_attempt_to_attempt_and_from_rank_to_rank_to_the_end(
    capsys: pytest.CaptureFixture[str],
) -> None:
    story = Story("chat", compute=TWO_NODES)
    first, second = both_run(story)
    async with followed(story) as (server, screen, task):
        await screen.until(*train_says(1, 0), *train_says(1, 1))
        story.evict(second)
        story.end(second, 13)
        story.end(first, 13)
        await server.tell()
        story.now += timedelta(seconds=90)
        both_run(story)
        await server.tell()
        await screen.until(*train_says(2, 0), *train_says(2, 1))
        story.finish_well()
        await server.tell()
        assert await task == ExitCode.OK
    for attempt in (1, 2):
        for rank in (0, 1):
            said = train_says(attempt, rank)
            assert screen.lines(f"train-{attempt}/{rank}  ") == said, "each line once, in order"
    assert screen.lines()[0] == "prepare-1/fetch-model  fetch-model says 0"
    assert screen.lines()[-1] == "publish-1  publish says 2"
    told = capsys.readouterr().err
    assert "attempt 1 is running" in told
    assert told.splitlines()[-1] == "end  team/chat Succeeded"


async def test_a_log_that_breaks_off_goes_on_where_it_was() -> None:
    story = Story("chat")
    pod = story.to_training()
    server, screen = StoryServer(story, LINES), Screen()
    server.breaks_after = 2
    async with server.client() as client:
        writer = LogWriter(Console(file=screen), prefixes=False)
        follower = Follower(client, story.job, Wanted(role=Role.TRAIN), writer, None)
        task = asyncio.create_task(follower.follow())
        await screen.until(*SAID)
        story.end(pod)
        story.finish_well()
        await server.tell()
        async with asyncio.timeout(10):
            assert await task == ExitCode.OK
    assert screen.lines() == SAID
    logs = [query for path, query in server.asked if path.endswith("/log")]
    assert [query.get("sinceTime") for query in logs] == [None, "2026-11-22T10:00:01.000000000Z"]


@pytest.mark.parametrize(
    ("code", "expected"),
    [(11, ExitCode.DATA_ERROR), (12, ExitCode.OUT_OF_MEMORY), (14, ExitCode.DIVERGED)],
)
async def test_the_exit_code_is_that_of_the_trainer(code: int, expected: ExitCode) -> None:
    story = Story("chat")
    pod = story.to_training()
    async with followed(story) as (server, screen, task):
        await screen.until(*train_says(1, 0))
        story.end(pod, code)
        story.settle()
        await server.tell()
        assert await task == expected


async def test_a_suspended_job_ends_it_as_a_preempted_trainer_ends() -> None:
    story = Story("chat")
    pod = story.to_training()
    async with followed(story) as (server, screen, task):
        await screen.until(*train_says(1, 0))
        edit(story, suspend=True)
        story.settle()
        story.end(pod, 13)
        story.settle()
        await server.tell()
        assert await task == ExitCode.PREEMPTED


async def test_a_job_that_is_over_is_read_and_ends_at_once() -> None:
    story = Story("chat")
    story.finish_well()
    async with followed(story, role=Role.TRAIN, tail=1) as (server, screen, task):
        assert await task == ExitCode.OK
    assert screen.lines() == train_says(1, 0)
    assert [query["tailLines"] for path, query in server.asked if path.endswith("/log")] == ["1"]
