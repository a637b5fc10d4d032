"""A job that is over and holds nothing costs nothing: neither when it is listed nor when woken."""

from __future__ import annotations

from finetune_operator.runtime.job_board import JobBoard
from finetune_operator.runtime.resting import Resting
from tests.unit.domain.in_memory import START
from tests.unit.runtime.in_memory_api import (
    KEY,
    InMemoryApi,
    at_work,
    gpu_job,
    to_the_end,
    to_training,
)


async def finished() -> InMemoryApi:
    world = InMemoryApi(gpu_job())
    async with at_work(world) as operator:
        await to_the_end(operator, world, await to_training(operator, world))
        await operator.settle()
    assert world.job.status.phase == "Succeeded"
    world.requests.clear()
    return world


async def test_it_is_not_read_when_an_operator_starts() -> None:
    world = await finished()
    async with at_work(world) as operator:
        assert not operator.saw(None, world.live())
        assert not operator.saw(None, world.live()), "nor at a resync"
        await operator.settle()  # whatever wakes it, such as the end of one of its pods
    assert world.requests == []


async def test_a_change_of_it_is_looked_at() -> None:
    world = await finished()
    async with at_work(world) as operator:
        assert not operator.saw(None, world.live())
        live = world.live()
        live["metadata"]["generation"] += 1
        assert operator.saw("MODIFIED", live)
        await operator.settle()
    assert world.requests


async def test_a_job_that_is_to_be_cleaned_up_later_is_looked_at() -> None:
    world = InMemoryApi(gpu_job(cleanupAfterSeconds=60))
    async with at_work(world) as operator:
        await to_the_end(operator, world, await to_training(operator, world))
        assert operator.saw(None, world.live())


async def test_a_job_that_trains_is_looked_at() -> None:
    world = InMemoryApi(gpu_job())
    async with at_work(world) as operator:
        await to_training(operator, world)
        assert operator.saw(None, world.live())


def test_what_changes_while_it_is_looked_at_does_not_rest() -> None:
    resting = Resting(JobBoard(lambda: START))
    live = {"metadata": {**KEY._asdict(), "resourceVersion": "7"}}
    resting.looked_at(KEY)
    resting.saw("MODIFIED", live)
    resting.add(KEY, live)
    assert KEY not in resting
    resting.looked_at(KEY)
    resting.add(KEY, live)
    assert KEY in resting
