"""What the client does with the answers of a server: here one that answers by a script."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web

from finetune_operator.cluster import errors
from finetune_operator.cluster.client import Client
from finetune_operator.cluster.clock import ServerClock
from finetune_operator.cluster.merge_patch import merge_patch
from finetune_operator.domain.actions import Delete
from finetune_operator.domain.kinds import CONFIG_MAP, FINE_TUNE_JOB, NODE, POD

Answer = tuple[int, dict[str, Any]]


class ScriptedServer:
    """Answers with what `answer` makes of the number of the request; keeps every request."""

    def __init__(self, answer: Callable[[int], Answer]) -> None:
        self.requests: list[tuple[str, str, Any]] = []
        self._answer = answer

    async def handle(self, request: web.Request) -> web.Response:
        text = await request.text()
        self.requests.append((request.method, request.path_qs, json.loads(text) if text else None))
        status, body = self._answer(len(self.requests))
        return web.json_response(body, status=status)


class Loopback:
    """A connection to the scripted server."""

    def __init__(self, url: str) -> None:
        self.url = url

    def ssl_context(self) -> bool:
        return True

    def authorization(self) -> str:
        return "Bearer of-the-test"


@asynccontextmanager
async def served(
    answer: Callable[[int], Answer], call_seconds: float = 5.0, clock: ServerClock | None = None
) -> AsyncIterator[tuple[Client, ScriptedServer]]:
    server = ScriptedServer(answer)
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    try:
        connection = Loopback(f"http://127.0.0.1:{port}")
        async with Client(connection, call_seconds, clock=clock) as client:
            yield client, server
    finally:
        await runner.cleanup()


STATUSES = [
    (400, errors.RefusedError, False),
    (401, errors.UnauthorizedError, True),
    (403, errors.ForbiddenError, False),
    (404, errors.NotFoundError, False),
    (406, errors.RefusedError, False),
    (409, errors.ConflictError, False),
    (410, errors.ConflictError, False),
    (422, errors.RefusedError, False),
    (429, errors.ThrottledError, True),
    (500, errors.UnavailableError, True),
    (503, errors.UnavailableError, True),
    (504, errors.UnavailableError, True),
]


@pytest.mark.parametrize(("status", "kind", "retried"), STATUSES)
async def test_each_status_has_its_error_and_only_some_are_tried_again(
    status: int, kind: type[errors.ApiError], retried: bool
) -> None:
    def answer(count: int) -> Answer:
        return (status, {"message": "so it is"}) if count == 1 else (200, {"kind": "Node"})

    async with served(answer) as (client, server):
        if retried:
            assert await client.get_path("/any") == {"kind": "Node"}
        else:
            with pytest.raises(kind) as caught:
                await client.get_path("/any")
            assert (caught.value.message, caught.value.status) == ("so it is", status)
        assert len(server.requests) == 1 + retried


@pytest.mark.parametrize("status", [400, 403, 404, 429, 500, 503])
async def test_a_log_that_cannot_be_had_is_asked_for_once_and_is_empty(status: int) -> None:
    """The node is lost, and its kubelet will never answer."""
    async with served(lambda _: (status, {"message": "no route"})) as (client, server):
        assert await client.last_lines("ml", "job-train-1", "train") == ""
        assert len(server.requests) == 1


async def test_retries_end_with_the_deadline_of_the_call() -> None:
    async with served(lambda _: (503, {"message": "etcd is away"}), call_seconds=0.5) as (
        client,
        server,
    ):
        with pytest.raises(errors.UnavailableError, match="etcd is away"):
            await client.get(NODE, None, "n")
        assert 1 < len(server.requests) < 10


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    async with Client(Loopback("http://127.0.0.1:1"), 0.2) as client:
        with pytest.raises(errors.UnavailableError):
            await client.get(NODE, None, "n")


async def test_an_object_that_is_not_there_is_none() -> None:
    async with served(lambda _: (404, {"message": "not found"})) as (client, server):
        assert await client.get(POD, "here", "p") is None
        assert server.requests[0][:2] == ("GET", "/api/v1/namespaces/here/pods/p")


async def test_a_list_is_read_page_by_page() -> None:
    def answer(count: int) -> Answer:
        metadata = {"continue": "more"} if count == 1 else {}
        return 200, {"metadata": metadata, "items": [{"number": count}]}

    async with served(answer) as (client, server):
        assert await client.list_objects(POD, labels="a=b") == [{"number": 1}, {"number": 2}]
        assert "labelSelector=a%3Db" in server.requests[0][1]
        assert "continue=more" in server.requests[1][1]


async def test_apply_names_the_object_and_the_manager() -> None:
    manifest = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "c", "namespace": "n"},
    }
    async with served(lambda _: (200, {})) as (client, server):
        await client.apply(manifest)
        method, path, body = server.requests[0]
    assert method == "PATCH"
    assert path.startswith("/api/v1/namespaces/n/configmaps/c?fieldManager=finetune-operator")
    assert body == manifest


async def test_a_status_is_written_only_if_it_differs_and_only_over_what_was_read() -> None:
    live: dict[str, Any] = {
        "metadata": {"name": "j", "namespace": "n", "resourceVersion": "7"},
        "status": {"phase": "Queued", "published": {"revision": "r"}},
    }
    async with served(lambda _: (200, {})) as (client, server):
        assert await client.patch_status(FINE_TUNE_JOB, live, live["status"]) is None
        assert server.requests == []
        assert await client.patch_status(FINE_TUNE_JOB, live, {"phase": "Training"}) == {}
        assert server.requests[0][2] == {
            "metadata": {"resourceVersion": "7"},
            "status": {"phase": "Training", "published": None},
        }


@pytest.mark.parametrize("status", [200, 404, 409])
async def test_deleting_what_is_gone_or_replaced_is_no_error(status: int) -> None:
    async with served(lambda _: (status, {"message": ""})) as (client, server):
        await client.delete(Delete(CONFIG_MAP, "n", "c", "uid-1"))
        assert server.requests[0][2]["preconditions"] == {"uid": "uid-1"}


@pytest.mark.parametrize(
    ("old", "new", "patch"),
    [
        ({}, {}, {}),
        ({"a": 1}, {"a": 1}, {}),
        ({"a": 1}, {"a": 2}, {"a": 2}),
        ({"a": 1}, {}, {"a": None}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}}, {"a": {"c": 3}}),
        ({"a": [1, 2]}, {"a": [1]}, {"a": [1]}),
        ({}, {"a": {}}, {"a": {}}),
    ],
)
def test_merge_patch(old: dict[str, Any], new: dict[str, Any], patch: dict[str, Any]) -> None:
    assert merge_patch(old, new) == patch


@pytest.mark.parametrize("status", [200, 404])
async def test_each_answer_tells_the_servers_time(status: int) -> None:
    clock = ServerClock(lambda: datetime(2000, 1, 1, tzinfo=UTC))
    async with served(lambda number: (status, {}), clock=clock) as (client, _):
        await client.get(POD, "team", "chat")
    assert abs(clock.now() - datetime.now(UTC)) < timedelta(seconds=5)
