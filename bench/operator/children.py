"""When the first Job of each FineTuneJob was made, by a watch."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from tests.cluster.simulation.api import Api, Object

NAMESPACE = "bench"
JOBS = f"/apis/finetune.dev/v1beta1/namespaces/{NAMESPACE}/finetunejobs"
BATCH_JOBS = f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs"
_LABEL = "finetune.dev/job"


class Children:
    """Follows the Jobs of the namespace."""

    def __init__(self) -> None:
        self.made: dict[str, float] = {}
        """Name of the FineTuneJob → when its child was seen, on the monotonic clock."""
        self._changed = asyncio.Event()

    def saw(self, batch_job: Object) -> None:
        """One of them, whatever happened to it."""
        name = batch_job["metadata"].get("labels", {}).get(_LABEL)
        if name and name not in self.made:
            self.made[name] = time.monotonic()
            self._changed.set()

    async def until(self, names: set[str], deadline: float) -> None:
        """Returns when all of them have a child.

        Raises:
            TimeoutError: not within `deadline` seconds.
        """
        async with asyncio.timeout(deadline):
            while not names <= self.made.keys():
                self._changed.clear()
                await self._changed.wait()


@asynccontextmanager
async def watched(api: Api) -> AsyncIterator[Children]:
    """Only of Jobs that are made meanwhile."""
    found = await api.ask("GET", f"{BATCH_JOBS}?limit=1")
    version = found["metadata"]["resourceVersion"]
    children = Children()
    task = asyncio.create_task(_follow(api, version, children))
    try:
        yield children
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _follow(api: Api, version: str, children: Children) -> None:
    async with api.session.get(
        f"{api.connection.url}{BATCH_JOBS}",
        params={"watch": "true", "resourceVersion": version, "timeoutSeconds": "3600"},
        timeout=aiohttp.ClientTimeout(total=None),
    ) as response:
        rest = b""
        async for chunk in response.content.iter_any():
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                event = json.loads(line)
                if event["type"] == "ADDED":
                    children.saw(event["object"])
