"""An operator of some namespaces brings a job to its end and asks for nothing beyond them."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web

from finetune_operator.api.fine_tune_class import FineTuneClass
from finetune_operator.cluster.client import Client
from finetune_operator.domain.kinds import FINE_TUNE_JOB, NODE
from finetune_operator.runtime.cluster_view import NamespacesOnly
from finetune_operator.runtime.controller import Key
from finetune_operator.runtime.tokens import TokenError, TokenVerifier
from tests.unit.cluster.test_client import Loopback, served
from tests.unit.runtime.in_memory_api import InMemoryApi, at_work, gpu_job, to_the_end, to_training

WITHIN = re.compile(r"/(?:api|apis/[^/]+)/[^/]+/namespaces/team/")


class Recorder(InMemoryApi):
    """Remembers what it was asked for, and knows no class itself."""

    def __init__(self, **spec: Any) -> None:
        super().__init__(gpu_job(**spec))
        assert self.finetune_class is not None
        self.given: FineTuneClass = self.finetune_class
        self.finetune_class = None
        self.paths: set[str] = set()

    async def handle(self, request: web.Request) -> web.Response:
        self.paths.add(request.path)
        return await super().handle(request)


@pytest.mark.parametrize("device", ["GPU", "Auto"])
async def test_a_job_is_brought_to_its_end(device: str) -> None:
    world = Recorder()
    spec = world.job.spec
    compute = spec.compute.model_copy(update={"device": type(spec.compute.device)(device)})
    world.job = world.job.model_copy(update={"spec": spec.model_copy(update={"compute": compute})})
    view = NamespacesOnly({"default": world.given}, gpu_memory=80 << 30)
    async with at_work(world, view) as operator:
        pod = await to_training(operator, world)
        await to_the_end(operator, world, pod)
    assert world.job.status.phase == "Succeeded"
    assert world.job.status.plan is not None
    assert world.job.status.plan.device.value == "GPU"
    assert not [path for path in world.paths if not WITHIN.match(path)]


async def test_without_gpus_that_are_known_a_free_choice_is_the_processor() -> None:
    view = NamespacesOnly({}, gpu_memory=None)
    assert not await view.has_gpu_nodes()
    assert await view.gpu_memory() is None
    assert await view.class_named("default") is None


async def test_a_list_of_all_is_of_the_namespaces_that_there_are() -> None:
    async with served(lambda number: (200, {"items": [{"number": number}]})) as (client, server):
        url = client._connection.url
        async with Client(Loopback(url), namespaces=("a", "b")) as limited:
            found = await limited.list_objects(FINE_TUNE_JOB)
            assert len(found) == 2
            await limited.list_objects(FINE_TUNE_JOB, "c")
            await limited.list_objects(NODE)
    paths = [path.partition("?")[0] for _, path, _ in server.requests]
    assert sorted(paths[:2]) == [
        f"/apis/finetune.dev/v1beta1/namespaces/{each}/finetunejobs" for each in ("a", "b")
    ]
    assert paths[2:] == [
        "/apis/finetune.dev/v1beta1/namespaces/c/finetunejobs",
        "/api/v1/nodes",
    ]


async def test_progress_of_another_operators_job_is_refused_before_its_token_is_read() -> None:
    async with served(lambda _: (500, {})) as (client, server):
        verifier = TokenVerifier(client, lambda: datetime(2026, 11, 28, tzinfo=UTC), ("team",))
        with pytest.raises(TokenError, match="no job of other"):
            await verifier.verify("no token at all", Key("other", "chat"), 1)
        assert not server.requests
