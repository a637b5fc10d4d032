"""The lines of a log, to its end or to where it breaks off."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web

from finetune_operator.cluster import errors
from finetune_operator.cluster.pod_logs import Line, log_lines
from finetune_operator.cluster.user_client import UserClient
from tests.unit.cluster.test_mirror import served

MOMENTS = [f"2026-11-22T10:00:0{second}.{nano:09}Z" for second in (1, 2) for nano in (5, 50)]


async def read(client: UserClient, **how: Any) -> list[Line]:
    return [line async for line in log_lines(client, "team", "p", "train", **how)]


async def test_lines_that_are_known_come_once() -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        asked.append(dict(request.query))
        lines = [f"{moment} line {at}" for at, moment in enumerate(MOMENTS)]
        return web.Response(text="\n".join([*lines, "failed to try resolving symlinks"]) + "\n")

    asked: list[dict[str, str]] = []
    async with served(handle) as client:
        whole = await read(client, follow=False, tail=7)
        rest = await read(client, follow=True, tail=7, after=MOMENTS[2])
    assert [line.text for line in whole[:-1]] == ["line 0", "line 1", "line 2", "line 3"]
    assert whole[-1] == Line("", "failed to try resolving symlinks")
    assert [line.text for line in rest[:-1]] == ["line 3"]
    assert (asked[0]["tailLines"], asked[1]["sinceTime"]) == ("7", MOMENTS[2])
    assert "tailLines" not in asked[1]


async def test_a_log_that_breaks_off_is_an_error_and_what_came_before_is_not_lost() -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(f"{MOMENTS[0]} first\n{MOMENTS[1]} half".encode())
        assert request.transport is not None
        request.transport.abort()
        return response

    came: list[str] = []
    async with served(handle) as client:
        with pytest.raises(errors.UnavailableError):
            async for line in log_lines(client, "team", "p", "train", follow=True):
                came.append(line.text)
    assert came == ["first"]


@pytest.mark.parametrize(
    ("status", "kind"), [(400, errors.RefusedError), (404, errors.NotFoundError)]
)
async def test_a_log_that_is_refused(status: int, kind: type[errors.ApiError]) -> None:
    async def handle(_: web.Request) -> web.StreamResponse:
        return web.json_response({"message": "container is waiting to start"}, status=status)

    async with served(handle) as client:
        with pytest.raises(kind, match="waiting to start"):
            await read(client, follow=True)
