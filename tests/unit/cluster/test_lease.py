"""Taking, keeping and giving back a Lease of a server on loopback; time is a number that is set."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web

from finetune_operator.cluster import lease
from finetune_operator.cluster.client import Client
from finetune_operator.cluster.errors import NotLeadingError
from finetune_operator.cluster.lease import Election, LeadershipLostError
from finetune_operator.domain.actions import Delete
from finetune_operator.domain.kinds import CONFIG_MAP
from finetune_operator.domain.leadership import LEASE_SECONDS, RENEW_DEADLINE_SECONDS

PATH = "/apis/coordination.k8s.io/v1/namespaces/system/leases/operator"
URL = "http://10.0.0.{}:8090"


class Server:
    """The Lease as the API server keeps it; `fails` tells what becomes of the next requests."""

    def __init__(self) -> None:
        self.url = ""
        self.lease: dict[str, Any] | None = None
        self.fails: Callable[[str], int] = lambda method: 0
        """An HTTP status to answer with; negative: after doing what was asked."""
        self.requests: list[str] = []

    def ssl_context(self) -> bool:
        return True

    def authorization(self) -> None:
        return None

    @property
    def holder(self) -> str | None:
        return None if self.lease is None else self.lease["spec"].get("holderIdentity")

    async def handle(self, request: web.Request) -> web.Response:
        assert request.path == PATH
        self.requests.append(request.method)
        fails = self.fails(request.method)
        if fails > 0:
            return web.json_response({"message": "no"}, status=fails)
        status = self._put(json.loads(await request.text())) if request.method == "PUT" else 200
        if fails < 0:
            return web.json_response({"message": "no"}, status=-fails)
        if self.lease is None:
            return web.json_response({"message": "not found"}, status=404)
        return web.json_response(self.lease if status < 300 else {}, status=status)

    def _put(self, wanted: dict[str, Any]) -> int:
        given = wanted["metadata"].pop("resourceVersion", None)
        now = None if self.lease is None else self.lease["metadata"]["resourceVersion"]
        if given != now:
            return 409 if given else 422
        wanted["metadata"]["resourceVersion"] = str(int(now or 0) + 1)
        self.lease = wanted
        return 201 if now is None else 200


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    found = Server()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", found.handle)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield found
    await runner.cleanup()


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def election(server: Server, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    for name in ("LOOK_SECONDS", "RENEW_SECONDS"):
        monkeypatch.setattr(lease, name, 0.01)

    @asynccontextmanager
    async def made(identity: str) -> AsyncIterator[Election]:
        async with Client(server, call_seconds=0.3) as client:
            yield Election(
                client, "system", "operator", identity, now=lambda: datetime.now(UTC), clock=clock
            )

    return made


async def becomes(question: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while True:
            if question():
                return
            await asyncio.sleep(0.005)


async def test_the_first_leads_and_the_second_finds_it(
    election: Callable[[str], Any], server: Server
) -> None:
    async with election("a") as first, election("b") as second:
        assert not first.leads()
        assert "not read yet" in first.problem()
        await first.acquire(URL.format(1))
        waiting = asyncio.create_task(second.acquire(URL.format(2)))
        await becomes(lambda: not second.problem())
        assert (first.leads(), second.leads()) == (True, False)
        assert (first.progress_url(), second.progress_url()) == ("", URL.format(1))
        await first.release()
        async with asyncio.timeout(10):
            await waiting
        assert (first.leads(), second.leads(), server.holder) == (False, True, "b")


async def test_a_silent_leader_is_succeeded_once_its_time_is_over(
    election: Callable[[str], Any], server: Server, clock: Clock
) -> None:
    async with election("a") as first, election("b") as second:
        await first.acquire(URL.format(1))
        waiting = asyncio.create_task(second.acquire(URL.format(2)))
        await becomes(lambda: not second.problem())
        clock.now += RENEW_DEADLINE_SECONDS
        assert not first.leads(), "by its clock alone, with nothing awaited"
        clock.now += LEASE_SECONDS - RENEW_DEADLINE_SECONDS - 0.1
        looks = len(server.requests)
        await becomes(lambda: len(server.requests) > looks + 2)
        assert server.holder == "a"
        clock.now += 0.2
        async with asyncio.timeout(10):
            await waiting
        assert server.holder == "b"
        with pytest.raises(LeadershipLostError, match="leads no longer"):
            await first.keep()


async def test_a_leader_renews_without_looking(
    election: Callable[[str], Any], server: Server, clock: Clock
) -> None:
    async with election("a") as leader:
        await leader.acquire(URL.format(1))
        server.requests.clear()
        keeping = asyncio.create_task(leader.keep())
        for _ in range(5):
            clock.now += RENEW_DEADLINE_SECONDS - 1
            made = len(server.requests)
            await becomes(lambda made=made: len(server.requests) > made + 1)
            assert leader.leads()
        assert set(server.requests) == {"PUT"}
        keeping.cancel()


async def test_a_leader_that_cannot_renew_ends_at_its_deadline(
    election: Callable[[str], Any], server: Server, clock: Clock
) -> None:
    async with election("a") as leader:
        await leader.acquire(URL.format(1))
        server.fails = lambda method: 503
        keeping = asyncio.create_task(leader.keep())
        await becomes(lambda: "GET" in server.requests[2:])
        assert not keeping.done(), "it has time left to try again"
        clock.now += RENEW_DEADLINE_SECONDS
        with pytest.raises(LeadershipLostError):
            async with asyncio.timeout(10):
                await keeping
        server.requests.clear()
        await leader.release()
        assert server.requests == [], "what it does not hold for certain it leaves alone"


async def test_a_leader_that_was_overtaken_ends_at_once(
    election: Callable[[str], Any], server: Server
) -> None:
    async with election("a") as leader:
        await leader.acquire(URL.format(1))
        assert server.lease is not None
        server.lease["spec"]["holderIdentity"] = "b"
        server.lease["metadata"]["resourceVersion"] = "77"
        with pytest.raises(LeadershipLostError, match="held by b"):
            async with asyncio.timeout(10):
                await leader.keep()


@pytest.mark.parametrize("status", [500, 409])
async def test_an_answer_that_was_lost_is_looked_for(
    election: Callable[[str], Any], server: Server, status: int
) -> None:
    async with election("a") as leader:
        lost = iter([-status])
        server.fails = lambda method: next(lost, 0) if method == "PUT" else 0
        await leader.acquire(URL.format(1))
        assert (leader.leads(), server.holder) == (True, "a")


async def test_a_deleted_lease_is_made_again_by_its_holder(
    election: Callable[[str], Any], server: Server
) -> None:
    async with election("a") as leader:
        await leader.acquire(URL.format(1))
        server.lease = None
        keeping = asyncio.create_task(leader.keep())
        await becomes(lambda: server.holder == "a")
        assert leader.leads()
        keeping.cancel()


async def test_a_release_survives_a_renewal_that_was_cut_off(
    election: Callable[[str], Any], server: Server
) -> None:
    async with election("a") as leader:
        await leader.acquire(URL.format(1))
        server.fails = lambda method: -500 if method == "PUT" else 0
        keeping = asyncio.create_task(leader.keep())
        made = len(server.requests)
        await becomes(lambda: len(server.requests) > made)
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        server.fails = lambda method: 0
        await leader.release()
        assert (server.holder, leader.leads()) == (None, False)


async def test_a_standby_tells_what_keeps_it_from_the_lease(
    election: Callable[[str], Any], server: Server
) -> None:
    server.fails = lambda method: 403
    async with election("a") as standby:
        waiting = asyncio.create_task(standby.acquire(URL.format(1)))
        await becomes(lambda: standby.problem().endswith(": no"))
        server.fails = lambda method: 0
        async with asyncio.timeout(10):
            await waiting
        assert standby.problem() == ""


async def test_a_client_writes_only_while_its_replica_leads(server: Server) -> None:
    target = Delete(CONFIG_MAP, "team", "chat-recipe", "uid")
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "chat"}}
    async with Client(server, may_write=lambda: False) as client:
        for write in (client.delete(target), client.apply(manifest), client.create(manifest)):
            with pytest.raises(NotLeadingError):
                await write
        assert server.requests == []
