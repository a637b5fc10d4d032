"""Pools of the platform team's that the class names: scaled, and never deleted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from finetune_operator.api.reason import Reason
from tests.unit.nodes.aks.builders import aks_class
from tests.unit.nodes.aks.world import World, a_world, nothing_held, ready
from tests.unit.nodes.builders import LARGE, SMALL

THEIRS = {
    "vmSize": LARGE.instance_type.lower(),
    "tags": {"team": "platform"},
    "nodeTaints": ["sku=gpu:NoSchedule", "maintenance:NoExecute"],
    "scaleDownMode": "Delete",
}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with a_world(tmp_path, aks_class(agentPools=["gpua", "gpub"], graceSeconds=900)) as made:
        made.cluster.foreign("gpua", count=0, **THEIRS)
        yield made


async def test_it_is_scaled_up_for_a_job_and_to_nothing_afterwards(world: World) -> None:
    before = dict(world.cluster.pools["gpua"].properties)
    job = world.job("chat", nodes=2)
    told = await world.until(job, ready)
    assert told.offer == LARGE
    assert told.placement.tolerations == (
        {"key": "sku", "operator": "Equal", "value": "gpu", "effect": "NoSchedule"},
        {"key": "maintenance", "operator": "Exists", "effect": "NoExecute"},
    )
    job.wanted = False
    job.due = None
    await world.until(job, nothing_held)
    assert world.cluster.pools["gpua"].properties == before
    assert world.cluster.pools["gpua"].nodes == []
    assert {verb for verb, _ in world.cluster.writes} == {"PUT"}


async def test_a_job_gets_the_next_offer_while_another_holds_the_pool(world: World) -> None:
    world.cluster.foreign("gpub", count=0, vmSize=SMALL.instance_type)
    first, second = world.job("first"), world.job("second", offers=(LARGE, SMALL))
    await world.until(first, ready)
    told = await world.until(second, ready)
    assert told.offer == SMALL
    third = world.job("third", offers=(LARGE, SMALL))
    told = await world.look(third)
    assert {refusal.reason for refusal in told.refusals} == {Reason.INSUFFICIENT_CAPACITY}
    assert "gpua is held by FineTuneJob team/first" in told.message
    assert "gpub is held by FineTuneJob team/second" in told.message
    first.wanted = False
    first.due = None
    await world.until(first, nothing_held)
    told = await world.until(third, ready)
    assert told.offer == LARGE
    assert set(world.cluster.pools) == {"gpua", "gpub"}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"count": 1}, "gpua has 1 nodes for somebody else"),
        ({"enableAutoScaling": True}, "gpua is scaled by the cluster autoscaler"),
    ],
    ids=["in use", "autoscaled"],
)
async def test_a_pool_that_serves_others_is_left_alone(
    world: World, changes: dict[str, object], why: str
) -> None:
    world.cluster.foreign("gpua", **{"count": 0, **THEIRS, **changes})
    told = await world.look(world.job("chat"))
    assert told.actions == ()
    assert why in told.message
    assert "gpub does not exist" in told.message
    assert world.cluster.writes == []


async def test_nodes_that_do_not_go_are_asked_to_go_again(world: World) -> None:
    job = world.job("chat")
    await world.until(job, ready)
    job.wanted = False
    job.due = None
    await world.look(job)
    pool = world.cluster.pools["gpua"]
    pool.state, pool.due = "Failed", world.clock()
    pool.error = {"code": "InternalOperationError", "message": "Sorry."}
    told = await world.look(job)
    assert told.held
    await world.until(job, nothing_held)
    assert pool.nodes == []
    assert "finetune-operator-job-uid" not in pool.properties["tags"]


async def test_it_is_scaled_down_when_its_job_is_gone(world: World) -> None:
    job = world.job("chat")
    await world.until(job, ready)
    world.kubernetes.jobs.clear()
    (leftover,) = await world.sweep()
    assert (leftover.name, "team/chat" in leftover.why) == ("gpua", True)
    world.clock.forward(600)
    await world.sweep()
    world.clock.forward(600)
    await world.sweep()
    assert world.cluster.pools["gpua"].nodes == []
    assert world.cluster.pools["gpua"].properties["tags"] == {"team": "platform"}


async def test_the_next_offer_is_asked_for_where_its_nodes_do_not_come(world: World) -> None:
    world.cluster.foreign("gpub", count=0, vmSize=SMALL.instance_type)
    none = {"code": "AllocationFailed", "message": "None free."}
    world.cluster.fail = lambda name, properties: none if name == "gpua" else None
    job = world.job("chat", offers=(LARGE, SMALL))
    told = await world.until(job, ready)
    assert told.offer == SMALL
    world.clock.forward(120)
    await world.look(job)
    world.clock.forward(120)
    await world.look(job)
    assert world.cluster.pools["gpua"].properties["tags"] == {"team": "platform"}
    assert world.cluster.tagged("finetune-operator-job-uid") == {"gpub": job.uid}
