"""As much of an API server as the provisioner AKS reads: nodes by label, and our kinds."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from finetune_operator.cluster.client import Client
from tests.arm.cluster import Json


@dataclass
class Kubernetes:
    """Its nodes are those of the agent pools."""

    nodes: Callable[[], list[Json]]
    jobs: dict[tuple[str, str], str] = field(default_factory=dict)
    """(namespace, name) → uid."""
    classes: list[Json] = field(default_factory=list)
    forbidden: set[str] = field(default_factory=set)
    """Namespaces that are not for the operator to read."""

    async def list_nodes(self, request: web.Request) -> web.Response:
        """By a selector such as `label in (a,b)`."""
        label, among = re.fullmatch(r"(\S+) in \((.*)\)", request.query["labelSelector"]).groups()  # type: ignore[union-attr]
        found = [
            node for node in self.nodes() if node["metadata"]["labels"][label] in among.split(",")
        ]
        return web.json_response({"items": found})

    async def list_classes(self, request: web.Request) -> web.Response:
        """All FineTuneClasses."""
        return web.json_response({"items": self.classes})

    async def get_job(self, request: web.Request) -> web.Response:
        """As bare as can be."""
        namespace, name = request.match_info["namespace"], request.match_info["name"]
        if namespace in self.forbidden:
            return web.json_response({"message": "forbidden"}, status=403)
        uid = self.jobs.get((namespace, name))
        if uid is None:
            return web.json_response({"message": "not found"}, status=404)
        return web.json_response({"metadata": {"uid": uid}})


class Loopback:
    """A connection to it."""

    def __init__(self, url: str) -> None:
        self.url = url

    def ssl_context(self) -> bool:
        """Plain HTTP."""
        return True

    def authorization(self) -> str | None:
        """Nobody."""
        return None


@asynccontextmanager
async def api_server(kubernetes: Kubernetes) -> AsyncIterator[Client]:
    """Yields a client of it."""
    application = web.Application()
    application.router.add_get("/api/v1/nodes", kubernetes.list_nodes)
    classes = "/apis/finetune.dev/v1beta1/finetuneclasses"
    application.router.add_get(classes, kubernetes.list_classes)
    jobs = "/apis/finetune.dev/v1beta1/namespaces/{namespace}/finetunejobs/{name}"
    application.router.add_get(jobs, kubernetes.get_job)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with Client(Loopback(f"http://127.0.0.1:{runner.addresses[0][1]}")) as client:
            yield client
    finally:
        await runner.cleanup()
