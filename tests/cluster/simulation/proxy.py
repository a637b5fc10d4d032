"""A proxy between the operator and the API server that sees every write, and may cut one off."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from enum import StrEnum

import aiohttp
from aiohttp import web

from tests.cluster.simulation.api import Api, Object

ENDED_WITHIN = 10.0
"""Seconds from the end of the server to that of what it still forwards."""


@dataclass(frozen=True)
class Write:
    """A request that changes something."""

    method: str
    resource: str
    """Plural, and subresource if there is one."""
    name: str
    namespace: str
    body: Object

    status: int = 0
    """Of the answer; 201 means that the object was created."""


class Moment(StrEnum):
    """When the operator is killed."""

    BEFORE = "before"
    AFTER = "after"


Kill = Callable[[Write, Moment], Awaitable[bool]]
"""Whether the operator dies at this moment of this write; returns when it has."""


async def _never(write: Write, moment: Moment) -> bool:
    return False


class Proxy:
    """Forwards everything; keeps every write that the API server answered."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self.writes: list[Write] = []
        self.reads: Counter[str] = Counter()
        self.kill: Kill = _never
        self._forwarding: set[asyncio.Task[web.StreamResponse]] = set()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[tuple[Proxy, Object]]:
        """Listens on loopback; gives a kubeconfig that leads here."""
        application = web.Application(client_max_size=16 << 20)
        application.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(
            application, access_log=None, shutdown_timeout=0.1, handler_cancellation=True
        )
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            port = runner.addresses[0][1]
            yield self, _kubeconfig(port)
        finally:
            await runner.cleanup()
            # A write goes on without its sender, also beyond the server. Were the session closed
            # while one still connects, nobody would close its socket.
            left = set(self._forwarding)
            if left:
                await asyncio.wait(left, timeout=ENDED_WITHIN)
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        if request.method in ("GET", "HEAD"):
            self.reads[request.path] += 1
            return await self._kept(self._forward_read(request))
        # What has been sent is carried out, even when its sender dies meanwhile.
        return await asyncio.shield(self._kept(self._forward_write(request, body)))

    def _kept(
        self, forwarding: Coroutine[None, None, web.StreamResponse]
    ) -> asyncio.Task[web.StreamResponse]:
        """Known until it is over; the server waits for nothing that it has cancelled."""
        task = asyncio.create_task(forwarding)
        self._forwarding.add(task)
        task.add_done_callback(self._forwarding.discard)
        return task

    async def _forward_write(self, request: web.Request, body: bytes) -> web.Response:
        write = _write(request, body)
        if await self.kill(write, Moment.BEFORE):
            raise web.HTTPServiceUnavailable
        async with self._ask(request, body) as upstream:
            whole = await upstream.read()
        self.writes.append(replace(write, status=upstream.status))
        if upstream.status < 300 and await self.kill(write, Moment.AFTER):
            raise web.HTTPServiceUnavailable
        return web.Response(status=upstream.status, body=whole, content_type=upstream.content_type)

    async def _forward_read(self, request: web.Request) -> web.StreamResponse:
        async with self._ask(request, b"") as upstream:
            response = web.StreamResponse(status=upstream.status)
            response.content_type = upstream.content_type
            with contextlib.suppress(aiohttp.ClientConnectionResetError):  # the operator was killed
                try:
                    await response.prepare(request)
                    async for chunk in upstream.content.iter_any():
                        await response.write(chunk)
                    await response.write_eof()
                finally:
                    if not upstream.content.at_eof():
                        _abort(upstream)
            return response

    def _ask(
        self, request: web.Request, body: bytes
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        return self._api.session.request(
            request.method,
            self._api.connection.url + request.path_qs,
            data=body or None,
            headers={
                name: value
                for name, value in request.headers.items()
                if name in ("Content-Type", "Accept")
            },
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=10),
        )


def _abort(upstream: aiohttp.ClientResponse) -> None:
    """Closed, it would await the API server's farewell in TLS, which no session waits for: a busy
    server's comes after the test's event loop is gone."""
    if upstream.connection is not None and upstream.connection.transport is not None:
        upstream.connection.transport.abort()


def _write(request: web.Request, body: bytes) -> Write:
    parts = request.path.strip("/").split("/")
    after = parts.index("namespaces") + 2 if "namespaces" in parts else 3
    namespace = parts[after - 1] if "namespaces" in parts else ""
    resource = parts[after]
    name = parts[after + 1] if len(parts) > after + 1 else ""
    if len(parts) > after + 2:
        resource += "/" + parts[after + 2]
    content: Object = json.loads(body) if body else {}
    return Write(
        request.method, resource, name or content.get("metadata", {}).get("name", ""),
        namespace, content,
    )  # fmt: skip


def _kubeconfig(port: int) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "proxy", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{"name": "proxy", "user": {}}],
        "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "proxy"}}],
        "current-context": "proxy",
    }
