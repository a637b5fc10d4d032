"""What was made for jobs that are gone is found, and nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from finetune_operator.api.fine_tune_class import FineTuneClass
from finetune_operator.api.provisioner import KAITO, OwnNodePools
from finetune_operator.cluster.client import Client
from finetune_operator.cluster.errors import UnavailableError
from finetune_operator.domain.actions import Delete
from finetune_operator.domain.kinds import NODE_CLAIM, NODE_POOL
from finetune_operator.nodes import Provisioners, kaito, karpenter
from finetune_operator.nodes.aks.client import AgentPools
from finetune_operator.nodes.leftovers import Leftover
from tests.unit.cluster.test_client import Loopback
from tests.unit.domain.in_memory import IMAGES, OWN_NODE_POOLS
from tests.unit.nodes.builders import LARGE, request

Object = dict[str, Any]
LIVES, GONE = "0b7a3f8e-6b1d-4b53-9c3e-5d1f2a3b4c5d", "11111111-6b1d-4b53-9c3e-5d1f2a3b4c5d"


def its_class(provisioner: str, **settings: Any) -> FineTuneClass:
    of = {"type": provisioner, **settings}
    spec = {"images": IMAGES, "provisioner": of}
    return FineTuneClass.model_validate({"metadata": {"name": "gpu"}, "spec": spec})


OWN_POOLS = its_class("Karpenter", karpenter={"ownNodePools": OWN_NODE_POOLS.to_dict()})


def stored(manifest: Object, **metadata: str) -> Object:
    name = manifest["metadata"]["name"]
    return manifest | {"metadata": manifest["metadata"] | {"uid": f"of {name}"} | metadata}


def claim(uid: str, **metadata: str) -> Object:
    asked = request(uid=uid)
    made = kaito.node_claim(KAITO(), asked, LARGE, kaito.claim_name(asked, LARGE, 0))
    return stored(made, **metadata)


def pool(uid: str) -> Object:
    own = OwnNodePools.model_validate(OWN_NODE_POOLS)
    return stored(karpenter.node_pool(own, request(uid=uid)))


@asynccontextmanager
async def cluster(kind: str, found: list[Object] | int) -> AsyncIterator[Client]:
    """With one job, and these objects of a kind; a number: such an answer instead of them."""

    async def objects(asked: web.Request) -> web.Response:
        if isinstance(found, int):
            return web.json_response({"message": "so"}, status=found)
        wanted = dict(each.split("=") for each in asked.query["labelSelector"].split(","))
        items = [each for each in found if each["metadata"]["labels"].items() >= wanted.items()]
        return web.json_response({"items": items})

    async def job(_: web.Request) -> web.Response:
        return web.json_response({"metadata": {"name": "chat", "uid": LIVES}})

    application = web.Application()
    application.router.add_get(f"/apis/karpenter.sh/v1/{kind}", objects)
    application.router.add_get("/apis/finetune.dev/v1beta1/namespaces/team/finetunejobs/chat", job)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        async with Client(Loopback(url), call_seconds=0.1) as client:
            yield client
    finally:
        await runner.cleanup()


async def leftovers(of: FineTuneClass, kind: str, found: list[Object] | int) -> list[Leftover]:
    provisioner = Provisioners(AgentPools())[of.spec.provisioner.type]
    async with cluster(kind, found) as client:
        return await provisioner.leftovers(client, of)


async def test_node_claims_of_a_job_that_is_gone_are_given_back() -> None:
    left, foreign = claim(GONE), claim(GONE)
    foreign["metadata"]["labels"] |= {"app.kubernetes.io/managed-by": "somebody"}
    others = [claim(LIVES), claim(GONE, deletionTimestamp="2026-11-28T04:00:00Z"), foreign]
    [found] = await leftovers(its_class("KAITO"), "nodeclaims", [left, *others])
    name = left["metadata"]["name"]
    assert (found.kind, found.name) == ("NodeClaim", name)
    assert found.why == "FineTuneJob team/chat, which held it, is gone"
    assert found.actions == (Delete(NODE_CLAIM, "", name, f"of {name}"),)


async def test_so_are_node_pools_and_their_nodes_with_them() -> None:
    left = pool(GONE)
    [found] = await leftovers(OWN_POOLS, "nodepools", [left, pool(LIVES)])
    name = left["metadata"]["name"]
    assert found.actions == (Delete(NODE_POOL, "", name, f"of {name}"),)


async def test_what_karpenter_has_made_of_a_node_pool_goes_with_the_pool() -> None:
    made = claim(GONE)
    made["metadata"]["labels"] |= {"karpenter.sh/nodepool": f"finetune-{GONE}"}
    assert await leftovers(its_class("KAITO"), "nodeclaims", [made]) == []


async def test_a_cluster_that_does_not_know_the_kind_has_none() -> None:
    assert await leftovers(its_class("KAITO"), "nodeclaims", 404) == []


async def test_what_cannot_be_read_is_nobodys() -> None:
    with pytest.raises(UnavailableError):
        await leftovers(its_class("KAITO"), "nodeclaims", 503)


@pytest.mark.parametrize("of", [its_class("Existing"), its_class("Karpenter")])
async def test_where_nothing_is_made_nothing_is_looked_for(of: FineTuneClass) -> None:
    assert await leftovers(of, "nodeclaims", 503) == []
