"""What the schedule says is what happens to a request; then it is over."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.cluster.resilience.chaos import disturbed_proxy
from tests.cluster.resilience.chaos.disturbed_proxy import DisturbedProxy
from tests.cluster.resilience.chaos.schedule import Answer, disturbance
from tests.cluster.simulation.api import Api

SEED = 3
REQUESTS = 120
PATH = "/api/v1/namespaces/team/configmaps/one"


@dataclass
class Connection:
    url: str


class Upstream:
    """An API server that counts what it carried out."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.session = session
        self.connection = Connection("")
        self.carried_out = 0

    async def handle(self, request: web.Request) -> web.Response:
        self.carried_out += 1
        return web.json_response({})


@asynccontextmanager
async def proxied() -> AsyncIterator[tuple[Upstream, DisturbedProxy, str]]:
    application = web.Application()
    async with aiohttp.ClientSession() as session:
        upstream = Upstream(session)
        application.router.add_route("*", "/{path:.*}", upstream.handle)
        async with TestServer(application) as server:
            upstream.connection.url = str(server.make_url("")).rstrip("/")
            proxy = DisturbedProxy(cast(Api, upstream), SEED, "first")
            async with proxy.serving() as (_, config):
                yield upstream, proxy, config["clusters"][0]["cluster"]["server"]


@pytest.mark.parametrize("method", ["PATCH", "GET"])
async def test_each_request_has_the_fate_of_its_number(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disturbed_proxy, "LONGER_THAN_ANYBODY_WAITS", 0.01)
    async with proxied() as (upstream, proxy, url), aiohttp.ClientSession() as operator:
        for number in range(1, REQUESTS + 1):
            before = upstream.carried_out
            body: dict[str, Any] = {"json": {}} if method == "PATCH" else {}
            async with operator.request(method, url + PATH, **body) as answer:
                fate = disturbance(SEED, "first", number)
                assert answer.status == status_of(fate and fate.answer, method)
                carried_out = fate is None or (fate.carried_out and method == "PATCH")
                assert upstream.carried_out - before == carried_out
        assert sum(proxy.struck.values()) > REQUESTS / 5
        proxy.stop()
        before = sum(proxy.struck.values())
        for _ in range(20):
            async with operator.request(method, url + PATH, **body) as answer:
                assert answer.status == 200
        assert sum(proxy.struck.values()) == before


def status_of(answer: Answer | None, method: str) -> int:
    if answer is None:
        return 200
    if answer is Answer.NONE:
        return 504
    return 500 if answer is Answer.CONFLICT and method == "GET" else int(answer)
