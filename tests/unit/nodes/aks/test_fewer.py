"""What is left of an agent pool, for a job that goes on with fewer nodes after a loss."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from finetune_operator.api.reason import Reason
from tests.arm.cluster import Json
from tests.unit.nodes.aks.builders import aks_class
from tests.unit.nodes.aks.world import Job, World, a_world, nothing_held, ready
from tests.unit.nodes.builders import LARGE, LARGE_SPOT

NO_CAPACITY: Json = {"code": "AllocationFailed", "message": "Allocation failed."}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with a_world(tmp_path, aks_class()) as made:
        yield made


async def interrupted(world: World, **fields: object) -> tuple[Job, str]:
    """A job whose two spot nodes trained, of which Azure has taken one."""
    job = world.job("chat", **{"offers": (LARGE_SPOT,), "nodes": 2, **fields})
    await world.until(job, ready)
    (name,) = world.cluster.pools
    world.clock.forward(1200)
    world.cluster.evict(name)
    world.cluster.fail = lambda name, properties: (
        NO_CAPACITY if properties.get("scaleSetPriority") == "Spot" else None
    )
    return job, name


async def test_the_node_that_is_left_is_kept(world: World) -> None:
    job, name = await interrupted(world, fewest=1)
    told = await world.until(job, lambda told: told.reason is Reason.INSUFFICIENT_CAPACITY)
    assert (told.ready, told.held, told.nodes) == (False, True, 1)
    assert "1 of 2 nodes" in told.message
    assert told.placement.node_selector == {"kubernetes.azure.com/agentpool": name}
    assert list(job.unavailable) == [LARGE_SPOT]
    writes = list(world.cluster.writes)
    for _ in range(5):
        told = await world.look(job)
        world.clock.forward(15)
    assert told.nodes == 1
    assert world.cluster.writes == writes, "nothing is asked for before it is due"
    job.wanted = False
    await world.until(job, nothing_held)
    assert world.cluster.pools == {}


async def test_the_other_is_asked_for_again_when_it_is_due(world: World) -> None:
    job, name = await interrupted(world, fewest=1)
    await world.until(job, lambda told: told.reason is Reason.INSUFFICIENT_CAPACITY)
    world.cluster.fail = lambda name, properties: None
    told = await world.until(job, ready, seconds=86_400)
    assert (told.nodes, list(world.cluster.pools)) == (2, [name])


async def test_another_offer_goes_before_fewer_nodes(world: World) -> None:
    job, name = await interrupted(world, offers=(LARGE_SPOT, LARGE), fewest=1)
    told = await world.until(job, lambda told: told.ready and told.offer == LARGE)
    assert told.nodes == 2
    assert name not in world.cluster.pools or world.cluster.pools[name].state == "Deleting"


async def test_without_leave_to_do_so_nothing_is_kept(world: World) -> None:
    job, _ = await interrupted(world)
    await world.until(job, lambda told: told.reason is Reason.INSUFFICIENT_CAPACITY)
    await world.until(job, nothing_held)
    assert world.cluster.pools == {}


async def test_it_says_how_many_are_ready_while_others_come(world: World) -> None:
    job, _ = await interrupted(world, fewest=1)
    world.cluster.fail = lambda name, properties: None
    told = await world.look(job)
    assert (told.ready, told.nodes, told.reason) == (False, 1, Reason.PROVISIONING)
