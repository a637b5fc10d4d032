"""The machines of a loopback AKS cluster, which are real nodes of the development cluster.

Each has a kubelet and a container runtime of its own, the labels and taints of its agent pool from
its first moment on, and is gone when Azure has taken it away.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.arm.cluster import FakeCluster
from tests.cluster.kube import Object
from tests.cluster.resilience.machine import devcluster

POLL_SECONDS = 0.2


class Machines:
    """Follows what the agent pools are to have."""

    def __init__(self, azure: FakeCluster) -> None:
        self._azure = azure
        self.running: set[str] = set()
        """Names of nodes."""

    async def follow(self) -> None:
        """Never ends by itself."""
        while True:
            wanted = {each["metadata"]["name"]: each for each in self._azure.nodes(gpus=0)}
            for name in wanted.keys() - self.running:
                await self._change("add", name, *_options(wanted[name]))
            for name in self.running - wanted.keys():
                await self._change("remove", name)
            await asyncio.sleep(POLL_SECONDS)

    async def end(self) -> None:
        """None is left, whatever Azure says."""
        for name in set(self.running):
            await self._change("remove", name)

    async def _change(self, verb: str, name: str, *options: str) -> None:
        # One that was not added to its end has to be removed as well.
        self.running.add(name)
        await asyncio.to_thread(devcluster, "node", verb, name, *options)
        if verb == "remove":
            self.running.discard(name)


@asynccontextmanager
async def machines(azure: FakeCluster) -> AsyncIterator[Machines]:
    """They come and go meanwhile; a failure to bring that about ends the test."""
    found = Machines(azure)
    following = asyncio.create_task(found.follow())
    try:
        yield found
        if following.done():
            following.result()
    finally:
        following.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await following
        await found.end()


def _options(node: Object) -> list[str]:
    labels = (f"--label={key}={value}" for key, value in node["metadata"]["labels"].items())
    taints = (
        f"--taint={each['key']}={each['value']}:{each['effect']}" for each in node["spec"]["taints"]
    )
    return [*labels, *taints]
