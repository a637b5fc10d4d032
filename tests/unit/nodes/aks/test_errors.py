"""Every row of the table of errors, each in the envelope in which Azure documents it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import web

from finetune_operator.api.conditions import Reason
from finetune_operator.nodes.aks.errors import FOR_GOOD, ROWS, Then, parsed, row_of
from tests.arm.cluster import RefusedError, flat, nested
from tests.unit.nodes.aks.builders import aks_class
from tests.unit.nodes.aks.world import World, a_world, ready
from tests.unit.nodes.builders import LARGE, LARGE_SPOT, SMALL, SMALL_SPOT


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with a_world(tmp_path, aks_class()) as made:
        yield made


@dataclass(frozen=True)
class Case:
    """An answer, and what is to be made of it."""

    answer: RefusedError
    reason: Reason
    then: Then
    seconds: float
    spot_seconds: float = 0.0
    """0: the same."""


INSUFFICIENT, QUOTA = Reason.INSUFFICIENT_CAPACITY, Reason.NODE_QUOTA_EXCEEDED
WRONG, GOES_ON = Reason.PROVISIONER_MISCONFIGURED, Reason.PROVISIONING
NEXT, SAME, NEVER = Then.NEXT_OFFER, Then.SAME_AGAIN, Then.NEVER

CASES = {
    "vCPU quota, flat": Case(
        flat(
            400,
            "ErrCode_InsufficientVCPUQuota",
            "Insufficient vcpu quota requested 24, remaining 4 for family standardNCADSA100v4Family"
            " for region eastus.",
        ),
        QUOTA,
        NEXT,
        600,
    ),
    "quota, within a deployment": Case(
        nested(
            400,
            "InvalidTemplateDeployment",
            "The template deployment is not valid. See inner errors for details.",
            ("QuotaExceeded", "Operation results in exceeding quota limits of Core."),
        ),
        QUOTA,
        NEXT,
        600,
    ),
    "a quota of none": Case(
        nested(
            409,
            "OperationNotAllowed",
            "Operation could not be completed as it results in exceeding approved"
            " standardNCADSA100v4Family Cores quota. Current Limit: 0, Current Usage: 0,"
            " Additional Required: 24.",
        ),
        QUOTA,
        NEXT,
        3600,
    ),
    "a quota that is used up": Case(
        nested(
            409,
            "OperationNotAllowed",
            "Operation could not be completed as it results in exceeding approved LowPriorityCores"
            " quota. Current Limit: 100, Current Usage: 96, Additional Required: 24.",
        ),
        QUOTA,
        NEXT,
        600,
    ),
    "immutable": Case(
        nested(409, "OperationNotAllowed", "Changing property 'vnetSubnetID' is not allowed."),
        WRONG,
        SAME,
        600,
    ),
    "immutable, by its code": Case(
        nested(
            400,
            "PropertyChangeNotAllowed",
            "Changing property 'gpuInstanceProfile' is not allowed.",
        ),
        WRONG,
        SAME,
        600,
    ),
    "busy": Case(
        nested(
            409,
            "OperationNotAllowed",
            "Managed Cluster operation is not allowed: Another operation (Updating) is in progress,"
            " please wait for it to finish before starting a new operation.",
        ),
        GOES_ON,
        SAME,
        60,
    ),
    "preempted": Case(
        nested(409, "AKSOperationPreempted", "Preempted by another operation."), GOES_ON, SAME, 60
    ),
    "no such size for this subscription": Case(
        nested(
            409,
            "SkuNotAvailable",
            "The requested VM size Standard_NC24ads_A100_v4 is not available in location eastus.",
        ),
        INSUFFICIENT,
        NEXT,
        23 * 3600,
        spot_seconds=3600,
    ),
    "none free": Case(
        nested(409, "AllocationFailed", "Allocation failed."), INSUFFICIENT, NEXT, 600
    ),
    "none free in a zone, told in text": Case(
        nested(
            400,
            "CreateVMSSAgentPoolFailed",
            'Code="ZonalAllocationFailed" Message="Allocation failed in zone 1."',
        ),
        INSUFFICIENT,
        NEXT,
        600,
    ),
    "too many wishes at once": Case(
        nested(409, "Conflict", "", ("OverconstrainedZonalAllocationRequest", "Overconstrained.")),
        INSUFFICIENT,
        NEXT,
        600,
    ),
    "a region that is full": Case(
        nested(400, "AKSCapacityHeavyUsage", "AKS is experiencing heavy usage in eastus."),
        INSUFFICIENT,
        NEXT,
        600,
    ),
    "a size that AKS does not have": Case(
        nested(400, "VMSizeNotSupported", "Virtual Machine size is not supported."),
        Reason.PROVISIONING_FAILED,
        NEVER,
        FOR_GOOD,
    ),
    "no role": Case(
        nested(
            403,
            "AuthorizationFailed",
            "The client does not have authorization to perform action"
            " 'Microsoft.ContainerService/managedClusters/agentPools/write'.",
        ),
        WRONG,
        SAME,
        300,
    ),
    "no cluster": Case(
        nested(404, "ResourceNotFound", "The Resource 'managedClusters/prod' was not found."),
        WRONG,
        SAME,
        300,
    ),
    "too many requests": Case(
        RefusedError(
            429,
            {"error": {"code": "Throttled", "message": "Please retry again in 42 seconds."}},
            {"Retry-After": "42"},
        ),
        GOES_ON,
        SAME,
        42,
    ),
    "changed by somebody else": Case(
        nested(412, "PreconditionFailed", "The agent pool is not as the request says."),
        GOES_ON,
        SAME,
        1,
    ),
    "not understood": Case(
        nested(400, "InvalidParameter", "The value of parameter vnetSubnetID is invalid."),
        WRONG,
        SAME,
        600,
    ),
    "out of order": Case(
        nested(503, "ServiceUnavailable", "The service is unavailable."), GOES_ON, SAME, 30
    ),
    "no JSON": Case(RefusedError(502, {}), GOES_ON, SAME, 30),
    "anything else": Case(
        nested(409, "ReconcileVMSSAgentPoolFailed", "We are unable to serve this request."),
        INSUFFICIENT,
        NEXT,
        600,
    ),
}


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
    if case.then is SAME:
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
    refused = row_of(parsed(200, {"error": error})).then is not SAME
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
