"""A client that decides nothing: what the operator asked for, asked again for other names."""

import asyncio
import json
import time
from collections.abc import Sequence

import aiohttp
from tests.cluster.simulation.api import Api, Object

from bench.operator import jobs
from bench.operator.children import JOBS
from bench.operator.record import Request


async def replay(api: Api, recorded: Sequence[Request], name: str, wanted: Sequence[str]) -> float:
    """Seconds that it takes to make all jobs, and then each one's requests one after the other.

    Args:
        recorded: of the job `name`.
    """
    turn = asyncio.Semaphore(jobs.AT_A_TIME)

    async def one(other: str) -> None:
        async with turn:
            live = await api.ask("POST", JOBS, jobs.manifest(other))
        version = live["metadata"]["resourceVersion"]
        for each in recorded:
            async with turn:
                answer = await _again(api, each, name, other, version)
            if each.resource.startswith("finetunejobs") and "metadata" in answer:
                version = answer["metadata"].get("resourceVersion", version)

    began = time.monotonic()
    await asyncio.gather(*(one(each) for each in wanted))
    return time.monotonic() - began


async def _again(api: Api, request: Request, name: str, other: str, version: str) -> Object:
    body = request.body
    if body is not None:
        text = json.dumps(body).replace(name, other)
        body = json.loads(text)
        if request.resource.startswith("finetunejobs") and "resourceVersion" in body["metadata"]:
            body["metadata"]["resourceVersion"] = version
    async with api.session.request(
        request.method,
        api.connection.url + request.uri.replace(name, other),
        data=None if body is None else json.dumps(body),
        headers={"Content-Type": request.content_type},
        timeout=aiohttp.ClientTimeout(total=60),
    ) as response:
        answer: Object = await response.json(content_type=None)
        if response.status != request.code:
            raise RuntimeError(f"{request.method} {request.uri}: {response.status} {answer}")
        return answer
