"""Pools that wait for a following job: taken over by one, or deleted in time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from finetune_operator.domain.actions import PutAgentPool
from tests.arm.cluster import Pool
from tests.unit.nodes.aks.builders import aks_class
from tests.unit.nodes.aks.world import Job, World, a_world, nothing_held, ready
from tests.unit.nodes.builders import LARGE_SPOT, SMALL

GRACE = 900


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with a_world(tmp_path, aks_class(graceSeconds=GRACE)) as made:
        yield made


async def released(world: World, **fields: Any) -> Pool:
    """A pool that its first job has given back, whole and at rest."""
    job = world.job("first", **fields)
    await world.until(job, ready)
    job.wanted = False
    job.due = None
    await world.until(job, nothing_held)
    world.clock.forward(60)
    (pool,) = world.cluster.pools.values()
    world.cluster.all()
    return pool


async def test_a_following_job_has_its_nodes_in_a_moment(world: World) -> None:
    pool = await released(world)
    machines = list(pool.nodes)
    second = world.job("second")
    started = world.clock()
    told = await world.until(second, ready)
    assert (world.clock() - started).total_seconds() <= 2
    assert told.placement.node_selector["kubernetes.azure.com/agentpool"] == pool.name
    assert pool.nodes == machines
    assert world.cluster.tagged("finetune-operator-job-uid") == {pool.name: second.uid}
    assert world.cluster.tagged("finetune-operator-released") == {}
    assert world.cluster.tagged("finetune.dev.job") == {pool.name: "second"}


@pytest.mark.parametrize(
    "need",
    [{"nodes": 2}, {"offers": (SMALL,)}, {"offers": (LARGE_SPOT,)}],
    ids=["more nodes", "another size", "spot"],
)
async def test_a_job_with_another_need_leaves_it(world: World, need: dict[str, Any]) -> None:
    pool = await released(world)
    second = world.job("second", **need)
    await world.until(second, ready)
    held = world.cluster.tagged("finetune-operator-job-uid")
    assert list(held.values()) == [second.uid]
    assert pool.name not in held


async def test_of_two_jobs_one_takes_it_and_the_other_makes_its_own(world: World) -> None:
    """Both have seen it; ARM's eTag decides."""
    pool = await released(world)
    second, third = world.job("second"), world.job("third")
    requests = [job.request(world.clock()) for job in (second, third)]
    decisions = await asyncio.gather(
        *(world.provisioner.look(world.client, world.its_class, each) for each in requests)
    )
    actions = [action for each in decisions for action in each.actions]
    assert [each.name for each in actions if isinstance(each, PutAgentPool)] == [pool.name] * 2
    await asyncio.gather(*(world.carry_out(each) for each in actions))
    await world.all_until([second, third], ready)
    owners = world.cluster.tagged("finetune-operator-job-uid")
    assert sorted(owners.values()) == [second.uid, third.uid]
    assert pool.name in owners


async def test_two_operators_cannot_both_give_it_away(world: World) -> None:
    """One that has just lost its lease, and its follower."""
    pool = await released(world)
    second, third = world.job("second"), world.job("third")
    request = second.request(world.clock())
    late = await world.provisioner.look(world.client, world.its_class, request)
    before = world.agent_pools
    world.agent_pools = type(before)(world.connect, world.clock)
    await world.until(third, ready)
    (action,) = late.actions
    assert isinstance(action, PutAgentPool)
    await before.put(action)
    await before.close()
    assert world.cluster.tagged("finetune-operator-job-uid") == {pool.name: third.uid}


async def test_nobody_takes_it_and_it_is_deleted_in_time(world: World) -> None:
    pool = await released(world)
    assert await world.sweep() == []
    world.clock.forward(GRACE)
    (leftover,) = await world.sweep()
    assert leftover.name == pool.name
    assert "team/first" in leftover.why
    world.clock.forward(600)
    assert world.cluster.all() == []


async def test_a_pool_that_is_not_whole_is_not_kept(world: World) -> None:
    job: Job = world.job("first", nodes=2, offers=(LARGE_SPOT,))
    await world.until(job, ready)
    (pool,) = world.cluster.pools.values()
    world.cluster.evict(pool.name)
    job.wanted = False
    job.due = None
    await world.until(job, nothing_held)
    assert world.cluster.pools == {}


async def test_a_class_without_grace_keeps_none(world: World) -> None:
    world.its_class = aks_class()
    job = world.job("first")
    await world.until(job, ready)
    job.wanted = False
    job.due = None
    await world.until(job, nothing_held)
    assert world.cluster.pools == {}
