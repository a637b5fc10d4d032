"""The cluster in memory behind an API server's paths, and a real reconciler at work on it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import uuid4

from aiohttp import web
from prometheus_client import REGISTRY

from finetune_operator.api.fine_tune_job import FineTuneJob
from finetune_operator.cluster.client import Client
from finetune_operator.domain.actions import Apply
from finetune_operator.domain.kinds import FINE_TUNE_JOB
from finetune_operator.runtime.cluster_view import ClusterView
from finetune_operator.runtime.controller import Controller, Key
from finetune_operator.runtime.fine_tune_job import FineTuneJobReconciler
from finetune_operator.runtime.progress_book import ProgressBook
from finetune_operator.runtime.worker import Runner
from finetune_trainer.manifest import Progress
from tests.unit.cluster.test_client import Loopback
from tests.unit.domain.in_memory import START, InMemory, Object, job
from tests.unit.runtime.some_tools import some_tools

KEY = Key("team", "chat")
KINDS = {
    "configmaps": "ConfigMap",
    "persistentvolumeclaims": "PersistentVolumeClaim",
    "services": "Service",
    "jobs": "Job",
    "pods": "Pod",
}


def gpu_job(**spec: Any) -> FineTuneJob:
    """With a uid as the API server makes them."""
    stored = job(compute={"device": "GPU", "gpusPerNode": 2}, **spec).to_dict()
    stored["metadata"] |= {"uid": str(uuid4()), "creationTimestamp": START.isoformat()}
    return FineTuneJob.from_stored(stored)


def merged(base: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(base, dict) or not isinstance(patch, dict):
        return patch
    made = {name: value for name, value in base.items() if name not in patch or patch[name]}
    return made | {
        name: merged(base.get(name), value) for name, value in patch.items() if value is not None
    }


class InMemoryApi(InMemory):
    """Answers requests about the one job and its children."""

    def __init__(self, the_job: FineTuneJob) -> None:
        super().__init__(the_job)
        self.conflicts = 0
        """So many of the next status writes are refused."""
        self.requests: list[str] = []
        self.writes: list[str] = []
        """Method and path of each, without reads."""
        self.dies_after: int | None = None
        """So many writes are carried out, and none after them."""
        self.died = asyncio.Event()

    async def handle(self, request: web.Request) -> web.Response:
        self.requests.append(f"{request.method} {request.path}")
        if request.method == "GET":
            found = self._get(request.path.rstrip("/").split("/"))
            if found is None:
                return web.json_response({"message": "not found"}, status=404)
            return web.json_response(found)
        body = json.loads(await request.text())
        if len(self.writes) == self.dies_after:
            self.died.set()
            message = "unable to create content because it is being terminated"
            return web.json_response({"message": message}, status=403)
        self.writes.append(f"{request.method} {request.path}")
        if request.path.endswith("/status"):
            return self._say(body)
        if request.method == "POST" and body["kind"] in KINDS.values():
            return self._create(body)
        if request.method == "PATCH" and body["kind"] in KINDS.values():
            self.carry_out(Apply(body))
        return web.json_response(body)

    def _say(self, body: Object) -> web.Response:
        if self.conflicts:
            self.conflicts -= 1
            return web.json_response({"message": "has been modified"}, status=409)
        stored = self.job.to_dict()
        stored["status"] = merged(stored.get("status", {}), body["status"])
        self.job = FineTuneJob.from_stored(stored)
        return web.json_response(self.live())

    def _create(self, body: Object) -> web.Response:
        identity = body["kind"], body["metadata"]["name"]
        if identity in self.objects:
            return web.json_response({"message": "already exists"}, status=409)
        self.carry_out(Apply(body))
        return web.json_response(self.objects[identity] | {"kind": body["kind"]}, status=201)

    def live(self) -> Object:
        """The job as it is stored."""
        live = self.job.to_dict() | {"apiVersion": "finetune.dev/v1beta1", "kind": "FineTuneJob"}
        live["metadata"] |= {"resourceVersion": "1"}
        return live

    def _get(self, path: list[str]) -> Object | None:
        name = path[-1]
        if name == KEY.name and path[-2] == "finetunejobs":
            return None if self.gone else self.live()
        if path[-2] == "finetuneclasses":
            return self.finetune_class.to_dict() if self.finetune_class else None
        if path[-2] in KINDS:
            return self.objects.get((KINDS[path[-2]], name))
        if name in KINDS:
            return {"items": self.all(KINDS[name])}
        return {"items": []}


class Operator:
    """One process of it, as far as FineTuneJobs go."""

    def __init__(self, world: InMemoryApi, client: Client, view: ClusterView | None = None) -> None:
        self.book = ProgressBook(lambda key, seconds: None)
        tools = some_tools(client, lambda: world.now, view=view)
        self.board, self.recorder = tools.board, tools.recorder
        self._reconciler = FineTuneJobReconciler(tools, self.book)
        self._controller = Controller(FINE_TUNE_JOB, (), self._reconcile, self._reconciler.saw)
        self.runner = Runner(self._controller, client)
        self.saw = self._reconciler.saw
        self._quiet = asyncio.Event()

    async def _reconcile(self, key: Key) -> float | None:
        after = await self._reconciler.reconcile(key)
        if after != 0:
            self._quiet.set()
        return after

    async def settle(self) -> None:
        """Works on the job until nothing is left to do at this moment."""
        self._quiet.clear()
        self.runner.queue.add(KEY)
        async with asyncio.timeout(10):
            await self._quiet.wait()

    async def meet(self, live: Object) -> None:
        """The watch tells of the job, which has just come."""
        self._quiet.clear()
        self.runner.saw("ADDED", live)
        async with asyncio.timeout(10):
            await self._quiet.wait()

    def post(self, progress: Progress) -> None:
        """A trainer says how far it is."""
        self.book.post(KEY, progress)


@asynccontextmanager
async def at_work(world: InMemoryApi, view: ClusterView | None = None) -> AsyncIterator[Operator]:
    """An operator with one worker, which speaks HTTP to the world.

    Args:
        view: of the cluster; None: as it is read.
    """
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", world.handle)
    server = web.AppRunner(application)
    await server.setup()
    await web.TCPSite(server, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{server.addresses[0][1]}"
    try:
        async with Client(Loopback(url)) as client:
            operator = Operator(world, client, view)
            worker = asyncio.create_task(operator.runner.work())
            REGISTRY.register(operator.board)
            try:
                yield operator
            finally:
                REGISTRY.unregister(operator.board)
                worker.cancel()
    finally:
        await server.cleanup()


async def to_training(operator: Operator, world: InMemoryApi) -> Object:
    """Until the training pod runs: 40 s to prepare, 5 s for a node."""
    await operator.settle()
    world.make_pods()
    (pod,) = world.pods()
    world.run(pod)
    world.now += timedelta(seconds=40)
    world.end(pod)
    await operator.settle()
    world.make_pods()
    (pod,) = world.pods()
    world.now += timedelta(seconds=5)
    world.run(pod)
    await operator.settle()
    return pod


async def to_the_end(operator: Operator, world: InMemoryApi, pod: Object) -> None:
    """600 s of training and 15 s of publishing."""
    world.now += timedelta(seconds=600)
    world.end(pod)
    await operator.settle()
    world.make_pods()
    (push,) = world.pods()
    world.now += timedelta(seconds=15)
    world.run(push)
    world.end(push)
    await operator.settle()
