"""Agent pools from the first request to the last, against ARM's protocol."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from finetune_operator.api.reason import Reason
from tests.arm.cluster import nested
from tests.arm.server import CLUSTER, GROUP
from tests.unit.nodes.aks.builders import aks_class
from tests.unit.nodes.aks.world import World, a_world, nothing_held, ready
from tests.unit.nodes.builders import LARGE, LARGE_SPOT, SMALL


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with a_world(tmp_path, aks_class()) as made:
        yield made


async def test_a_job_gets_its_nodes_and_gives_them_back(world: World) -> None:
    job = world.job("chat", nodes=2)
    first = await world.look(job)
    assert not first.ready
    assert first.reason == Reason.PROVISIONING
    told = await world.until(job, ready)
    assert (told.reason, told.offer) == (Reason.SCHEDULED, LARGE)
    (pool,) = world.cluster.pools.values()
    assert told.placement.node_selector == {"kubernetes.azure.com/agentpool": pool.name}
    assert [each["key"] for each in told.placement.tolerations] == ["finetune.dev/agent-pool"]
    assert len(world.cluster.nodes()) == 2
    job.wanted = False
    await world.until(job, nothing_held)
    assert world.cluster.pools == {}
    assert world.cluster.writes == [("PUT", pool.name), ("DELETE", pool.name)]


async def test_azures_own_poller_agrees_with_the_server(world: World) -> None:
    session = world.connect("33333333-3333-3333-3333-333333333333")
    world.cluster.seconds = 0
    pools = session.client.agent_pools
    body = {"properties": {"vmSize": "Standard_D4s_v5", "count": 1, "mode": "User"}}
    poller = await pools.begin_create_or_update(GROUP, CLUSTER, "one", body)
    made = await poller.result()
    assert (made.name, made.count, made.provisioning_state) == ("one", 1, "Succeeded")
    poller = await pools.begin_delete(GROUP, CLUSTER, "one")
    await poller.result()
    assert world.cluster.pools == {}
    await session.close()


async def test_spot_is_asked_for_first_where_it_is_preferred(world: World) -> None:
    job = world.job("chat", offers=(LARGE_SPOT, LARGE))
    told = await world.until(job, ready)
    assert told.offer == LARGE_SPOT
    keys = [each["key"] for each in told.placement.tolerations]
    assert keys == ["finetune.dev/agent-pool", "kubernetes.azure.com/scalesetpriority"]


async def test_the_next_offer_is_asked_for_when_one_is_refused(world: World) -> None:
    world.cluster.refuse = lambda name, properties: (
        nested(409, "SkuNotAvailable", "The requested size is not available.")
        if properties["vmSize"] == LARGE.instance_type
        else None
    )
    job = world.job("chat", offers=(LARGE, SMALL))
    told = await world.until(job, ready)
    assert told.offer == SMALL
    assert list(job.unavailable) == [LARGE]
    hours = (job.unavailable[LARGE] - world.clock()).total_seconds() / 3600
    assert hours == pytest.approx(23, abs=0.5)


async def test_a_pool_that_failed_goes_and_the_next_offer_is_made_beside_it(world: World) -> None:
    error = {"code": "AllocationFailed", "message": "Allocation failed."}
    world.cluster.fail = lambda name, properties: (
        error if properties["vmSize"] == LARGE.instance_type else None
    )
    job = world.job("chat", offers=(LARGE, SMALL))
    told = await world.until(job, ready)
    assert told.offer == SMALL
    verbs = [verb for verb, _ in world.cluster.writes]
    assert verbs == ["PUT", "DELETE", "PUT"]
    world.clock.forward(600)
    sizes = [each["properties"]["vmSize"] for each in world.cluster.all()]
    assert sizes == [SMALL.instance_type]


async def test_an_operator_that_starts_anew_finds_what_the_last_one_began(world: World) -> None:
    job = world.job("chat")
    await world.look(job)
    await world.restart()
    told = await world.look(job)
    assert told.held
    assert "Creating" in told.message
    await world.until(job, ready)
    job.wanted = False
    await world.look(job)
    await world.restart()
    await world.until(job, nothing_held)
    (name,) = {name for _, name in world.cluster.writes}
    assert world.cluster.writes == [("PUT", name), ("DELETE", name)]


async def test_a_request_that_was_taken_while_its_sender_died_is_adopted(world: World) -> None:
    job = world.job("chat")
    request = job.request(world.clock())
    found = await world.provisioner.look(world.client, world.its_class, request)
    (action,) = found.actions
    world.cluster.put(action.name, {"properties": dict(action.properties)})  # type: ignore[union-attr]
    await world.carry_out(action)
    told = await world.look(job)
    assert told.held or "PreconditionFailed" in told.message
    await world.until(job, ready)
    assert [verb for verb, _ in world.cluster.writes] == ["PUT"]


async def test_spot_machines_that_were_taken_away_are_asked_for_again(world: World) -> None:
    job = world.job("chat", nodes=2, offers=(LARGE_SPOT,))
    told = await world.until(job, ready)
    (pool,) = world.cluster.pools.values()
    world.clock.forward(3600)
    world.cluster.evict(pool.name)
    told = await world.look(job)
    assert not told.ready
    assert "1 of 2 nodes" in told.message
    await world.until(job, ready)
    assert [verb for verb, _ in world.cluster.writes] == ["PUT", "PUT"]


async def test_machines_that_never_come_back_end_the_offer(world: World) -> None:
    job = world.job("chat", nodes=2, offers=(LARGE_SPOT, SMALL))
    await world.until(job, ready)
    (pool,) = world.cluster.pools.values()
    world.clock.forward(3600)
    world.cluster.evict(pool.name)
    world.cluster.refuse = lambda name, properties: (
        nested(409, "AllocationFailed", "None left.")
        if properties.get("scaleSetPriority") == "Spot"
        else None
    )
    told = await world.until(job, ready)
    assert told.offer == SMALL


async def test_a_deletion_that_has_to_wait_is_asked_for_again(world: World) -> None:
    job = world.job("chat")
    await world.look(job)
    world.cluster.delete_waits = True
    job.wanted = False
    await world.look(job)
    world.clock.forward(1)
    told = await world.look(job)
    assert told.held
    assert "in progress" in told.message
    await world.until(job, nothing_held)
    assert world.cluster.pools == {}


async def test_a_pool_of_somebody_elses_with_the_name_is_left_alone(world: World) -> None:
    job = world.job("chat")
    request = job.request(world.clock())
    found = await world.provisioner.look(world.client, world.its_class, request)
    world.cluster.foreign(found.actions[0].name, count=3)  # type: ignore[union-attr]
    world.clock.forward(60)
    told = await world.look(job)
    assert (told.reason, told.actions, told.held) == (Reason.NAME_TAKEN, (), False)
    assert world.cluster.writes == []


async def test_a_node_without_its_gpu_says_what_is_missing(world: World) -> None:
    job = world.job("chat")
    world.kubernetes.nodes = lambda: world.cluster.nodes(gpus=0)
    await world.look(job)
    world.clock.forward(300)
    told = await world.look(job)
    assert not told.ready
    assert "0 of 1 nvidia.com/gpu" in told.message
    assert "finetune.dev/agent-pool" in told.message


async def test_of_two_pools_the_one_that_is_nearer_stays(world: World) -> None:
    """A request was taken whose answer got lost, and another one was made meanwhile."""
    job = world.job("chat", offers=(LARGE, SMALL))
    await world.until(job, ready)
    (first,) = world.cluster.pools
    tags = dict(world.cluster.pools[first].properties["tags"])
    world.cluster.foreign("ftsecond", count=0, vmSize=SMALL.instance_type, tags=tags)
    world.clock.forward(60)
    told = await world.look(job)
    assert (told.ready, told.offer) == (True, LARGE)
    world.clock.forward(600)
    assert [each["name"] for each in world.cluster.all()] == [first]


async def test_a_request_whose_answer_gets_lost_is_not_sent_twice(world: World) -> None:
    put = world.cluster.put
    lost = [nested(502, "BadGateway", "The answer got lost.")]

    def taken(*given: Any, **named: Any) -> Any:
        answer = put(*given, **named)
        if lost:
            raise lost.pop()
        return answer

    world.cluster.put = taken  # type: ignore[method-assign]
    job = world.job("chat")
    await world.until(job, ready)
    assert [verb for verb, _ in world.cluster.writes] == ["PUT"]
