"""A job that has just come is not read, and ends where every other job does."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from finetune_operator.runtime.controller import Key
from finetune_operator.runtime.newcomers import REMEMBERED, Newcomers
from tests.unit.runtime.in_memory_api import InMemoryApi, at_work, gpu_job

KEY = Key("team", "chat")


def item(**more: Any) -> dict[str, Any]:
    return {"metadata": {"namespace": "team", "name": "chat"}, **more}


def test_only_what_came_and_nobody_has_looked_at_is_new() -> None:
    newcomers = Newcomers()
    for event, status in (
        (None, {}),
        ("MODIFIED", {}),
        ("ADDED", {"observedGeneration": 1}),
    ):
        newcomers.saw(event, item(status=status))
        assert newcomers.take(KEY) is None
    for status in ({}, {"observedGeneration": -1}):
        newcomers.saw("ADDED", item(status=status))
        assert newcomers.take(KEY) == item(status=status)
        assert newcomers.take(KEY) is None


@pytest.mark.parametrize("event", ["MODIFIED", "DELETED"])
def test_what_has_changed_since_is_new_no_more(event: str) -> None:
    newcomers = Newcomers()
    newcomers.saw("ADDED", item())
    newcomers.saw(event, item())
    assert newcomers.take(KEY) is None


def test_not_everything_is_remembered() -> None:
    newcomers = Newcomers()
    for number in range(REMEMBERED + 1):
        metadata = {"namespace": "team", "name": f"job-{number}"}
        newcomers.saw("ADDED", {"metadata": metadata})
    assert newcomers.take(Key("team", f"job-{REMEMBERED - 1}"))
    assert newcomers.take(Key("team", f"job-{REMEMBERED}")) is None


PREPARED = {
    ("ConfigMap", "chat-recipe"),
    ("PersistentVolumeClaim", "chat"),
    ("Job", "chat-prepare-1"),
}


async def test_a_new_job_is_begun_by_few_writes() -> None:
    world = InMemoryApi(gpu_job())
    async with at_work(world) as operator:
        await operator.meet(world.live())
        assert set(world.objects) == PREPARED
        resources = [path.split("/")[-1] for path in world.writes[:2]]
        assert sorted(resources) == ["configmaps", "persistentvolumeclaims"]
        assert [path.split("/")[-1] for path in world.writes[2:4]] == ["status", "jobs"]
        assert len(world.writes) == 4
        await operator.recorder.catch_up()
        assert [path.split("/")[-1] for path in world.writes[4:]] == ["events"]
        begun = world.job
        await operator.settle()
        assert world.job == begun, "another look finds nothing to say"


async def test_it_ends_like_a_job_that_was_read() -> None:
    met, read = InMemoryApi(gpu_job()), InMemoryApi(gpu_job())
    async with at_work(met) as operator:
        await operator.meet(met.live())
    async with at_work(read) as operator:
        await operator.settle()
    assert met.job.status == read.job.status
    assert set(met.objects) == set(read.objects)


@pytest.mark.parametrize("writes", range(4))
async def test_an_operator_that_dies_meanwhile_is_followed_by_one_that_goes_on(writes: int) -> None:
    world, undisturbed = InMemoryApi(gpu_job()), InMemoryApi(gpu_job())
    async with at_work(undisturbed) as operator:
        await operator.meet(undisturbed.live())
    world.dies_after = writes
    async with at_work(world) as operator, asyncio.timeout(10):
        operator.runner.saw("ADDED", world.live())
        await world.died.wait()
    assert len(world.writes) == writes
    world.dies_after = None
    async with at_work(world) as operator:
        await operator.settle()
    assert world.job.status == undisturbed.job.status
    assert set(world.objects) == PREPARED


async def test_a_name_that_is_taken_is_met() -> None:
    world = InMemoryApi(gpu_job())
    world.objects["ConfigMap", "chat-recipe"] = {
        "kind": "ConfigMap",
        "metadata": {"name": "chat-recipe", "namespace": "team", "uid": "somebody's"},
    }
    async with at_work(world) as operator:
        await operator.meet(world.live())
    (accepted,) = (each for each in world.job.status.conditions if each.type == "Accepted")
    assert accepted.reason == "NameTaken"
    assert not [each for each in world.objects if each[0] == "Job"]


async def test_a_job_that_was_changed_meanwhile_is_read() -> None:
    world = InMemoryApi(gpu_job())
    world.conflicts = 1
    async with at_work(world) as operator:
        await operator.meet(world.live())
        assert world.job.status.phase == "Preparing"
