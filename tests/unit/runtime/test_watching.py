"""How kopf is made to watch, before a server on loopback that answers as an API server does."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from kubernetes.config import kube_config

from finetune_operator.cluster.client import Client
from finetune_operator.domain.kinds import FINE_TUNE_JOB, GROUP, VERSION
from finetune_operator.runtime import watching
from finetune_operator.runtime.controller import Controller, Key
from finetune_operator.runtime.worker import Runner
from tests.unit.cluster.test_client import Loopback

PLURAL = FINE_TUNE_JOB.plural
RESOURCE = {
    "name": PLURAL,
    "singularName": "finetunejob",
    "kind": FINE_TUNE_JOB.name,
    "namespaced": True,
    "verbs": ["list", "watch", "patch"],
}
SAID = {
    "/api": {"versions": ["v1"]},
    "/api/v1": {
        "resources": [{**RESOURCE, "name": "namespaces", "kind": "Namespace", "namespaced": False}]
    },
    "/apis": {
        "groups": [
            {
                "name": GROUP,
                "versions": [{"version": VERSION}],
                "preferredVersion": {"version": VERSION},
            }
        ]
    },
    f"/apis/{GROUP}/{VERSION}": {"resources": [RESOURCE]},
    f"/apis/{GROUP}/{VERSION}/{PLURAL}": {"items": [], "metadata": {"resourceVersion": "1"}},
}
JOB = {"metadata": {"namespace": "team", "name": "chat", "uid": "1", "generation": 1}}


@asynccontextmanager
async def silent_at_first(path: str) -> AsyncIterator[tuple[str, Counter[str]]]:
    """A server that never answers the first request of a path; its URL, and what it was asked."""
    asked: Counter[str] = Counter()

    async def answer(request: web.Request) -> web.StreamResponse:
        asked[request.path] += 1
        if request.path == path and asked[path] == 1:
            await asyncio.Event().wait()
        if "watch" not in request.query:
            return web.json_response(SAID[request.path])
        stream = web.StreamResponse()
        await stream.prepare(request)
        await stream.write(json.dumps({"type": "ADDED", "object": JOB}).encode() + b"\n")
        await asyncio.Event().wait()
        return stream

    application = web.Application()
    application.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", asked
    finally:
        await runner.cleanup()


def kubeconfig(url: str) -> str:
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "own", "cluster": {"server": url}}],
            "users": [{"name": "own", "user": {}}],
            "contexts": [{"name": "own", "context": {"cluster": "own", "user": "own"}}],
            "current-context": "own",
        }
    )


async def _nothing(key: Key) -> None:
    del key


@pytest.mark.parametrize("path", ["/apis", f"/apis/{GROUP}/{VERSION}/{PLURAL}"])
async def test_what_is_never_answered_is_asked_again(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "ATTEMPT_SECONDS", 0.2)
    async with silent_at_first(path) as (url, asked):
        config = tmp_path / "kubeconfig"
        config.write_text(kubeconfig(url))
        # The package reads the variable once, when it is imported.
        monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(config))
        async with Client(Loopback(url)) as client:
            runner = Runner(Controller(FINE_TUNE_JOB, (), _nothing), client)
            begun = watching.watch(client, [runner], asyncio.Event(), lambda: None)
            task = asyncio.create_task(begun)
            try:
                assert await asyncio.wait_for(runner.queue.get(), 20) == Key("team", "chat")
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
    assert asked[path] >= 2
