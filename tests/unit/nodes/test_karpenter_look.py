"""What Karpenter's provisioner makes of a cluster that answers, refuses or knows no Karpenter."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web

from finetune_operator.api.fine_tune_class import FineTuneClass
from finetune_operator.api.reason import Reason
from finetune_operator.cluster.client import Client
from finetune_operator.domain.provisioning import Provision
from finetune_operator.nodes.karpenter import KarpenterNodes
from tests.unit.cluster.test_client import Loopback
from tests.unit.nodes.builders import request

SINCE = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
CLASS = FineTuneClass.model_validate(
    {
        "metadata": {"name": "gpu"},
        "spec": {
            "images": {"trainer": "registry/trainer:1"},
            "provisioner": {"type": "Karpenter", "karpenter": {"nodePools": ["gpu"]}},
        },
    }
)
CLAIM = {"metadata": {"name": "gpu-a", "creationTimestamp": "2026-11-22T10:00:05Z"}}
REFUSAL = {
    "metadata": {},
    "involvedObject": {"name": "gpu-b"},
    "message": "NodeClaim gpu-b event: none in westeurope",
    "lastTimestamp": "2026-11-22T10:00:02Z",
}


async def look(status: int, claims: list[dict[str, Any]], **changes: Any) -> Provision:
    """At a cluster that answers so when asked for NodeClaims, and knows of one refusal."""

    async def node_claims(_: web.Request) -> web.Response:
        return web.json_response({"items": claims, "message": "no"}, status=status)

    async def events(asked: web.Request) -> web.Response:
        assert asked.query["fieldSelector"] == "reason=InsufficientCapacityError"
        return web.json_response({"items": [REFUSAL]})

    application = web.Application()
    application.router.add_get("/apis/karpenter.sh/v1/nodeclaims", node_claims)
    application.router.add_get("/api/v1/namespaces/default/events", events)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with Client(Loopback(f"http://127.0.0.1:{runner.addresses[0][1]}")) as client:
            return await KarpenterNodes().look(client, CLASS, request(**changes))
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    ("status", "reason", "said"),
    [
        (200, Reason.PROVISIONING, "NodeClaim gpu-a is being made; InsufficientCapacityError"),
        (403, Reason.INSUFFICIENT_CAPACITY, "InsufficientCapacityError: none in westeurope"),
        (404, Reason.PROVISIONING_FAILED, "install Karpenter"),
    ],
)
async def test_a_waiting_pod_is_explained(status: int, reason: Reason, said: str) -> None:
    found = await look(status, [CLAIM], waiting_since=SINCE)
    assert found.reason is reason
    assert said in found.message
    assert found.ready, (
        "it waits in its own time: the pods are there, and nodes come because of them"
    )


async def test_nothing_is_read_while_no_pod_waits() -> None:
    found = await look(500, [])
    assert (found.ready, found.reason) == (True, Reason.SCHEDULED)
