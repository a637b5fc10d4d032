"""What a mirror shows while a server lists, watches, breaks off and forgets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from finetune_operator.cluster import errors
from finetune_operator.cluster.mirror import Mirror, Selection
from finetune_operator.cluster.user_client import UserClient
from finetune_operator.domain.kinds import POD
from tests.unit.cluster.test_client import Loopback

PODS = Selection(POD, "team", labels="a=b")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def served(handler: Handler) -> AsyncIterator[UserClient]:
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(application, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with UserClient(
            Loopback(f"http://127.0.0.1:{runner.addresses[0][1]}"), 0.5
        ) as client:
            yield client
    finally:
        await runner.cleanup()


def pod(name: str, version: int) -> dict[str, Any]:
    return {"metadata": {"uid": f"uid-{name}", "name": name, "resourceVersion": str(version)}}


class Server:
    """Lists what it has; a watch tells what `say` is told, until it is cut off."""

    def __init__(self, *names: str) -> None:
        self.pods = [pod(name, 1) for name in names]
        self.version = 1
        self.requests: list[dict[str, str]] = []
        self.said: asyncio.Queue[bytes | None] = asyncio.Queue()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(dict(request.query))
        if "watch" not in request.query:
            metadata = {"resourceVersion": str(self.version)}
            return web.json_response({"metadata": metadata, "items": self.pods})
        response = web.StreamResponse()
        await response.prepare(request)
        while (line := await self.said.get()) is not None:
            await response.write(line)
        return response

    def say(self, what: str, found: dict[str, Any]) -> None:
        self.said.put_nowait(json.dumps({"type": what, "object": found}).encode() + b"\n")


async def shown(mirror: Mirror, *names: str) -> None:
    """Returns once the mirror shows exactly these."""
    async with asyncio.timeout(5):
        while (
            sorted(each["metadata"]["name"] for each in mirror.objects[PODS].values())
            != sorted(names)
        ):  # fmt: skip
            await mirror.change(5)


async def test_one_list_and_one_watch_are_enough() -> None:
    server = Server("one")
    async with served(server.handle) as client, Mirror(client, PODS) as mirror:
        await shown(mirror, "one")
        server.say("ADDED", pod("two", 2))
        await shown(mirror, "one", "two")
        server.say("MODIFIED", pod("two", 3) | {"spec": {}})
        server.say("DELETED", pod("one", 4))
        await shown(mirror, "two")
        assert "spec" in mirror.objects[PODS]["uid-two"]
    assert [each.get("watch") for each in server.requests] == [None, "true"]
    assert all(each["labelSelector"] == "a=b" for each in server.requests)


async def test_a_watch_that_the_server_ends_goes_on_where_it_was() -> None:
    server = Server()
    async with served(server.handle) as client, Mirror(client, PODS) as mirror:
        server.say("BOOKMARK", {"metadata": {"resourceVersion": "70"}})
        server.said.put_nowait(None)
        server.say("ADDED", pod("one", 71))
        await shown(mirror, "one")
    assert [each.get("resourceVersion") for each in server.requests] == [None, "1", "70"]


async def test_what_was_missed_is_listed() -> None:
    server = Server("old")
    async with served(server.handle) as client, Mirror(client, PODS) as mirror:
        server.pods, server.version = [pod("new", 90)], 90
        server.say("ERROR", {"code": 410, "message": "too old resource version"})
        await shown(mirror, "new")
        server.say("ADDED", pod("newer", 91))
        await shown(mirror, "new", "newer")
    assert [each.get("resourceVersion") for each in server.requests] == [None, "1", None, "90"]


async def test_a_mirror_ends_with_what_ended_it() -> None:
    async def refuse(request: web.Request) -> web.StreamResponse:
        if "watch" in request.query or refuse.asked:  # type: ignore[attr-defined]
            return web.json_response({"message": "may not list pods"}, status=403)
        refuse.asked = True  # type: ignore[attr-defined]
        return web.json_response({"metadata": {"resourceVersion": "1"}, "items": []})

    refuse.asked = False  # type: ignore[attr-defined]
    async with served(refuse) as client, Mirror(client, PODS) as mirror:
        with pytest.raises(errors.ForbiddenError, match="may not list"):
            async with asyncio.timeout(5):
                while True:
                    await mirror.change(5)


async def test_nothing_changes_and_the_wait_ends() -> None:
    async with served(Server().handle) as client, Mirror(client, PODS) as mirror:
        assert await mirror.change(5), "the list is news"
        assert not await mirror.change(0.01)
