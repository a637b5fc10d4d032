"""Every row of the table of errors, each in the envelope in which Azure documents it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from finetune_operator.api.reason import Reason
from finetune_operator.nodes.aks.errors import ROWS, Then, parsed, row_of
from tests.arm.cluster import nested
from tests.unit.nodes.aks.builders import aks_class
from tests.unit.nodes.aks.error_cases import CASES, Case
from tests.unit.nodes.aks.world import World, a_world, ready
from tests.unit.nodes.builders import LARGE, LARGE_SPOT, SMALL, SMALL_SPOT


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with a_world(tmp_path, aks_class()) as made:
        yield made


def test_no_row_is_without_a_case() -> None:
    met = {id(row_of(parsed(case.answer.status, case.answer.body))) for case in CASES.values()}
    assert [row for row in ROWS if id(row) not in met] == []


@pytest.mark.parametrize("spot", [False, True], ids=["on demand", "spot"])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
async def test_an_answer_decides_what_is_asked_for_next(
    world: World, case: Case, spot: bool
) -> None:
    """RefusedError once; the job then goes on as the row says, and gets its nodes in the end."""
    first, second = (LARGE_SPOT, SMALL_SPOT) if spot else (LARGE, SMALL)
    left = [case.answer]
    world.cluster.refuse = lambda name, properties: left.pop() if left else None
    job = world.job("chat", offers=(first, second))
    started = world.clock()
    await world.look(job)
    world.clock.forward(1)
    told = await world.look(job)
    seconds = (spot and case.spot_seconds) or case.seconds
    if case.then is Then.SAME_AGAIN:
        assert told.reason == case.reason
        assert "asked for again" in told.message or seconds == 1
        assert job.unavailable == {}
        told = await world.until(job, lambda provision: provision.held)
        assert (world.clock() - started).total_seconds() >= seconds
        assert told.offer == first
    else:
        assert [refusal.reason for refusal in told.refusals] == [case.reason]
        assert told.refusals[0].seconds == seconds
        said = case.answer.body.get("error", case.answer.body)
        assert told.refusals[0].message.startswith(said["code"])
        told = await world.until(job, ready)
        assert told.offer == second
    await world.until(job, ready)


@pytest.mark.parametrize(
    "case",
    [case for case in CASES.values() if "code" in case.answer.body.get("error", {})],
    ids=[name for name, case in CASES.items() if "code" in case.answer.body.get("error", {})],
)
async def test_a_pool_that_failed_so_goes_and_leaves_none_behind(world: World, case: Case) -> None:
    """The same errors come later too, as the provisioningError of a pool."""
    error = case.answer.body["error"]
    left = [error]
    world.cluster.fail = lambda name, properties: left.pop() if left else None
    job = world.job("chat", offers=(LARGE, SMALL))
    told = await world.until(job, ready, seconds=4 * 3600)
    refused = row_of(parsed(200, {"error": error})).then is not Then.SAME_AGAIN
    assert told.offer == (SMALL if refused else LARGE)
    assert list(job.unavailable) == ([LARGE] if refused else [])
    world.clock.forward(600)
    assert len(world.cluster.all()) == 1


async def test_a_size_that_there_is_not_leaves_nothing_to_ask_for(world: World) -> None:
    world.cluster.refuse = lambda name, properties: nested(400, "VMSizeNotSupported", "No.")
    job = world.job("chat", offers=(LARGE, SMALL))
    await world.look(job)
    for _ in range(3):
        world.clock.forward(1)
        await world.look(job)
    assert set(job.unavailable) == {LARGE, SMALL}
    world.clock.forward(24 * 3600)
    told = await world.look(job)
    assert (told.ready, told.held, told.actions) == (False, False, ())


async def test_a_server_that_does_not_answer_is_asked_again(world: World) -> None:
    troubles = [web.Response(status=500, text="<html>"), web.Response(status=503)]
    world.arm.answers.append(
        lambda request: troubles.pop() if troubles and "agentPools" in request.path else None
    )
    job = world.job("chat")
    told = await world.look(job)
    assert (told.ready, told.held, told.reason) == (False, True, Reason.PROVISIONING)
    assert "cannot be read" in told.message
    await world.until(job, ready)


async def test_a_pod_whose_token_azure_does_not_know_says_so(world: World) -> None:
    world.arm.federated_token = "of-another-pod"
    told = await world.look(world.job("chat"))
    assert told.reason == Reason.PROVISIONER_MISCONFIGURED
    assert "AADSTS700213" in told.message
    world.arm.federated_token = "of-the-pod"
    world.clock.forward(301)
    assert (await world.look(world.job("other"))).actions


async def test_a_class_that_names_no_cluster_says_so(tmp_path: Path) -> None:
    async with a_world(tmp_path, aks_class(cluster="prodd")) as world:
        told = await world.look(world.job("chat"))
        assert told.reason == Reason.PROVISIONER_MISCONFIGURED
        assert "ResourceNotFound" in told.message
        assert "platform/prodd" in told.message
