"""The real Karpenter over its KWOK cloud. Nodes that it makes have no machine: their kubelet is a
SimulatedNode's, which ends pods as the test's script says; KWOK's own would know no such ends."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from tests.cluster.simulation import trainer
from tests.cluster.simulation.api import Api, Object
from tests.cluster.simulation.node import Script, SimulatedNode

CLAIMS = "/apis/karpenter.sh/v1/nodeclaims"
POOLS = "/apis/karpenter.sh/v1/nodepools"
NODE_CLASSES = "/apis/karpenter.kwok.sh/v1alpha1/kwoknodeclasses"
NODE_CLASS = {"group": "karpenter.kwok.sh", "kind": "KWOKNodeClass", "name": "simulated"}
TYPE, CAPACITY = "node.kubernetes.io/instance-type", "karpenter.sh/capacity-type"
POLL_SECONDS = 0.2
WAITED_SECONDS = 120
ZONE = "westeurope-1"


@dataclass(frozen=True)
class Machine:
    """An instance type of the cloud."""

    name: str
    gpus: int
    on_demand: float
    """Price of an hour."""
    spot: float

    def manifest(self) -> Object:
        """As the KWOK cloud reads it."""
        resources = {"cpu": "24", "memory": "220Gi", "ephemeral-storage": "200Gi"}
        if self.gpus:
            resources["nvidia.com/gpu"] = str(self.gpus)
        prices = {"on-demand": self.on_demand, "spot": self.spot}
        return {
            "name": self.name,
            "architecture": "amd64",
            "operatingSystems": ["linux"],
            "resources": resources,
            "offerings": [
                {"Price": price, "Requirements": [_is(CAPACITY, way), _is(_ZONE_LABEL, ZONE)]}
                for way, price in prices.items()
            ],
        }


_ZONE_LABEL = "topology.kubernetes.io/zone"


def _is(key: str, value: str) -> Object:
    return {"key": key, "operator": "In", "values": [value]}


@dataclass
class Karpenter:
    """What it has made, and what its cloud has left."""

    api: Api
    group: str
    script: Script
    _file: Path
    _program: Path
    _environment: Mapping[str, str]
    nodes: dict[str, SimulatedNode] = field(default_factory=dict)
    """That exist and whose kubelet we play."""
    made: list[tuple[str, str]] = field(default_factory=list)
    """Instance type and capacity type of every node that there ever was."""
    _process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                self._program, env=self._environment, stdout=log, stderr=log
            )

    async def stop(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def restart(self) -> None:
        """What it knows of nodes it reads again; what it remembered besides is gone."""
        self.check()
        await self.stop()
        await self.start()

    @property
    def log(self) -> Path:
        return self._file.with_name("karpenter.log")

    def check(self) -> None:
        """That it runs."""
        alive = self._process is not None and self._process.returncode is None
        assert alive, self.log.read_text()[-2000:]

    def sell_out(self, *offerings: tuple[str, str]) -> None:
        """From now on the cloud has these no longer, and all others again."""
        unfinished = self._file.with_suffix(".unfinished")
        unfinished.write_text("".join(f"{name} {way}\n" for name, way in offerings))
        unfinished.rename(self._file)

    async def claims(self) -> list[Object]:
        return await self.api.items(CLAIMS)

    async def pools(self) -> list[str]:
        return [each["metadata"]["name"] for each in await self.api.items(POOLS)]

    async def add_pool(self, name: str, labels: Mapping[str, str]) -> None:
        """A NodePool of the platform team's, whose nodes are for this test's pods; ready."""
        template = {
            "metadata": {"labels": dict(labels)},
            "spec": {
                "nodeClassRef": NODE_CLASS,
                "requirements": [{"key": CAPACITY, "operator": "Exists"}],
                "taints": [{"key": "simulated", "value": self.group, "effect": "NoSchedule"}],
            },
        }
        disruption = {
            "consolidationPolicy": "WhenEmpty",
            "consolidateAfter": "1s",
            "budgets": [{"nodes": "100%"}],
        }
        pool = {
            "apiVersion": "karpenter.sh/v1",
            "kind": "NodePool",
            "metadata": {"name": name},
            "spec": {"template": template, "disruption": disruption},
        }
        await self.api.apply(f"{POOLS}/{name}", pool)
        await self._until(f"{POOLS}/{name}", ready=True)

    async def take_back(self, name: str) -> None:
        """The machine of a node is gone, as a cloud says by deleting the Node; wait until the
        control plane has noticed its silence first, because a cloud asks, too."""
        self.nodes[name].answers = False
        path = f"/api/v1/nodes/{name}"
        await self._until(path, ready=False)
        await self.api.ask("DELETE", path)

    async def _until(self, path: str, *, ready: bool) -> None:
        async with asyncio.timeout(WAITED_SECONDS):
            while True:
                if _is_ready(await self.api.ask("GET", path)) is ready:
                    return
                await asyncio.sleep(POLL_SECONDS)

    async def play(self) -> None:
        """Joins what Karpenter has made, leaves what it has removed."""
        while True:
            # A node may go while it is being joined; a request may fail on a busy machine.
            with contextlib.suppress(AssertionError, TimeoutError, aiohttp.ClientError):
                await self._look()
            for node in self.nodes.values():
                node.check()
            await asyncio.sleep(POLL_SECONDS)

    async def _look(self) -> None:
        found = await self.api.items("/api/v1/nodes?labelSelector=karpenter.sh/nodepool")
        there = {each["metadata"]["name"]: each for each in found}
        for name in self.nodes.keys() - there.keys():
            await self.nodes.pop(name).stop()
        for name in there.keys() - self.nodes.keys():
            labels = there[name]["metadata"]["labels"]
            node = SimulatedNode(self.api, name, self.group, self.script, trainer.PREEMPTED)
            self.made.append((labels[TYPE], labels[CAPACITY]))
            self.nodes[name] = node
            await node.join()


def _is_ready(found: Mapping[str, Any]) -> bool:
    conditions = found.get("status", {}).get("conditions") or ()
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


@contextlib.asynccontextmanager
async def karpenter(
    program: Path,
    kubeconfig: Path,
    api: Api,
    group: str,
    script: Script,
    *,
    machines: Iterable[Machine],
    folder: Path,
) -> AsyncIterator[Karpenter]:
    """Runs meanwhile; whatever it made is gone afterwards.

    Args:
        program: of dev/cluster/karpenter; its CRDs are served.
        kubeconfig: of the API server that it is to serve.
        group: namespace of the pods that its nodes take.
        machines: what its cloud offers.
        folder: gets its files and its log.
    """
    types, sold_out = folder / "instance-types.json", folder / "sold-out"
    types.write_text(json.dumps([each.manifest() for each in machines]))
    node_class = {
        "apiVersion": "karpenter.kwok.sh/v1alpha1",
        "kind": "KWOKNodeClass",
        "metadata": {"name": NODE_CLASS["name"]},
    }
    await api.apply(f"{NODE_CLASSES}/{NODE_CLASS['name']}", node_class)
    environment = {
        **os.environ,
        "KUBECONFIG": str(kubeconfig),
        "DISABLE_LEADER_ELECTION": "true",
        "METRICS_PORT": "0",
        "HEALTH_PROBE_PORT": "0",
        "BATCH_IDLE_DURATION": "200ms",
        "INSTANCE_TYPES_FILE_PATH": str(types),
        "SOLD_OUT_FILE": str(sold_out),
    }
    made = Karpenter(api, group, script, sold_out, program, environment)
    made.sell_out()
    await made.start()
    task = asyncio.create_task(made.play())
    try:
        yield made
        if task.done():
            task.result()
        made.check()
    finally:
        try:
            await _removed(made)
        finally:
            await made.stop()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await asyncio.gather(*(node.stop() for node in made.nodes.values()))


async def _removed(made: Karpenter) -> None:
    """Karpenter itself takes away what it made, and so has to run until that is done. It leaves
    nodes alone whose pods train, as they may after a test that has failed."""
    for name in await made.pools():
        await made.api.ask("DELETE", f"{POOLS}/{name}", absent=True)
    await made.api.ask("DELETE", f"/api/v1/namespaces/{made.group}/pods")
    async with asyncio.timeout(WAITED_SECONDS):
        while True:
            if not await made.claims():
                break
            await asyncio.sleep(POLL_SECONDS)
    await made.api.ask("DELETE", f"{NODE_CLASSES}/{NODE_CLASS['name']}", absent=True)
