"""Fulfils NodeClaims as KAITO's gpu-provisioner does, with simulated nodes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime

import aiohttp

from tests.cluster.simulation import trainer
from tests.cluster.simulation.api import MERGE, Api, Object
from tests.cluster.simulation.node import Script, SimulatedNode

CLAIMS = "/apis/karpenter.sh/v1/nodeclaims"
EVENTS = "/api/v1/namespaces/default/events"
TYPE = "node.kubernetes.io/instance-type"
POLL_SECONDS = 0.2


class GpuProvisioner:
    """Gives a node for each claim, but none of the types that are `without_capacity`."""

    def __init__(self, api: Api, group: str, script: Script) -> None:
        self.api = api
        self.group = group
        self.script = script
        self.without_capacity: set[str] = set()
        self.nodes: dict[str, SimulatedNode] = {}
        self.given: list[str] = []
        """Instance types of the nodes that were ever given."""

    async def claims(self) -> list[Object]:
        return await self.api.items(CLAIMS)

    async def run(self) -> None:
        while True:
            # A request may fail on a busy machine, and all while the API server is away.
            with contextlib.suppress(AssertionError, TimeoutError, aiohttp.ClientError, ValueError):
                await self._look()
            for node in self.nodes.values():
                node.check()
            await asyncio.sleep(POLL_SECONDS)

    async def _look(self) -> None:
        claims = {each["metadata"]["name"]: each for each in await self.claims()}
        for name in self.nodes.keys() - claims.keys():
            await self.nodes[name].stop()
            del self.nodes[name]
        for name, claim in claims.items():
            if name not in self.nodes:
                await self._fulfil(claim)

    async def _fulfil(self, claim: Object) -> None:
        name = claim["metadata"]["name"]
        (instance_type,) = _values(claim, TYPE)
        if instance_type in self.without_capacity:
            await self._refuse(claim, f"creating agent pool: no {instance_type} in westeurope")
            return
        labels = {**claim["metadata"]["labels"], TYPE: instance_type}
        node = SimulatedNode(
            self.api, name, self.group, self.script, trainer.PREEMPTED, labels=labels
        )
        await node.start()
        self.nodes[name] = node
        self.given.append(instance_type)
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        ready = {
            "type": "Ready",
            "status": "True",
            "reason": "Ready",
            "message": "",
            "lastTransitionTime": now,
        }
        status = {"status": {"nodeName": name, "conditions": [ready]}}
        await self.api.ask("PATCH", f"{CLAIMS}/{name}/status", status, content_type=MERGE)

    async def _refuse(self, claim: Object, message: str) -> None:
        name = claim["metadata"]["name"]
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"generateName": f"{name}.", "namespace": "default"},
            "involvedObject": {
                "apiVersion": "karpenter.sh/v1",
                "kind": "NodeClaim",
                "name": name,
                "uid": claim["metadata"]["uid"],
            },
            "reason": "InsufficientCapacityError",
            "message": message,
            "type": "Warning",
        }
        await self.api.ask("POST", EVENTS, event)
        await self.api.ask("DELETE", f"{CLAIMS}/{name}", absent=True)


@contextlib.asynccontextmanager
async def provisioning(api: Api, group: str, script: Script) -> AsyncIterator[GpuProvisioner]:
    """Runs meanwhile; whatever it gave is gone afterwards."""
    made = GpuProvisioner(api, group, script)
    try:
        # Its end would be the test's.
        async with asyncio.TaskGroup() as group_of_one:
            task = group_of_one.create_task(made.run())
            yield made
            task.cancel()
    finally:
        for node in made.nodes.values():
            await node.stop()
        for claim in await made.claims():
            name = claim["metadata"]["name"]
            await api.ask("DELETE", f"{CLAIMS}/{name}", absent=True)


def _values(claim: Object, key: str) -> Iterator[str]:
    for each in claim["spec"]["requirements"]:
        if each["key"] == key:
            yield from each["values"]
