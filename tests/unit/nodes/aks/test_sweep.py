"""Pools that nobody gives back are found, named and ended; all others are left alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.unit.nodes.aks.builders import aks_class
from tests.unit.nodes.aks.world import Job, World, a_world, ready


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with a_world(tmp_path, aks_class()) as made:
        yield made


async def with_nodes(world: World) -> Job:
    """A job that holds a pool."""
    job = world.job("chat")
    await world.until(job, ready)
    return job


async def test_a_pool_whose_job_is_gone_is_named_and_deleted(world: World) -> None:
    await with_nodes(world)
    assert await world.sweep() == []
    world.kubernetes.jobs.clear()
    (leftover,) = await world.sweep()
    assert leftover.why == "FineTuneJob team/chat, which held it, is gone"
    assert leftover.name in world.cluster.pools
    world.clock.forward(600)
    assert await world.sweep() == []
    assert world.cluster.pools == {}


async def test_another_job_of_the_same_name_does_not_keep_it(world: World) -> None:
    await with_nodes(world)
    world.kubernetes.jobs["team", "chat"] = "uid-of-its-follower"
    assert len(await world.sweep()) == 1


async def test_a_namespace_that_is_not_ours_to_read_is_not_ours_to_judge(world: World) -> None:
    await with_nodes(world)
    world.kubernetes.jobs.clear()
    world.kubernetes.forbidden.add("team")
    assert await world.sweep() == []


async def test_pools_of_another_class_or_cluster_are_not_ours_to_judge(world: World) -> None:
    await with_nodes(world)
    world.kubernetes.jobs.clear()
    world.its_class = aks_class(uid="88888888-0000-0000-0000-000000000000")
    assert await world.sweep() == []


async def test_pools_that_bear_none_of_our_tags_are_never_touched(world: World) -> None:
    world.cluster.foreign("system")
    world.cluster.foreign("ft0123456789", tags={"finetune-operator-job": "team/chat"})
    assert await world.sweep() == []
    assert world.cluster.writes == []


async def test_a_pool_whose_tags_were_lost_but_for_the_class_is_ended(world: World) -> None:
    await with_nodes(world)
    (pool,) = world.cluster.pools.values()
    tags = pool.properties["tags"]
    pool.properties["tags"] = {"finetune-operator-class-uid": tags["finetune-operator-class-uid"]}
    world.clock.forward(60)
    (leftover,) = await world.sweep()
    assert leftover.name == pool.name
