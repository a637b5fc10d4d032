"""A node without a machine: its pods run and end as a script says, within milliseconds."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import aiohttp

from tests.cluster.simulation.api import MERGE, Api, Object

POLL_SECONDS = 0.2
HEARTBEAT_SECONDS = 10.0
AMOUNTS = {"cpu": "64", "memory": "256Gi", "pods": "500", "ephemeral-storage": "500Gi"}


class End:
    """How a container ends: its exit code and termination message."""

    def __init__(self, code: int, message: str = "") -> None:
        self.code = code
        self.message = message


Script = Callable[[Object], dict[str, End] | None]
"""A running pod → how each of its containers ends, or None while it goes on running."""


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class SimulatedNode:
    """Registers a node, keeps it ready and plays kubelet for the pods bound to it."""

    def __init__(
        self,
        api: Api,
        name: str,
        group: str,
        script: Script,
        on_delete: End,
        *,
        labels: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.api = api
        self.labels = labels
        """More than every node has."""
        self.name = name
        self.group = group
        """Value of the label by which jobs choose it."""
        self.script = script
        self.on_delete = on_delete
        self.answers = True
        """False: the node is lost; neither heartbeat nor pods go on."""
        self._amounts: Mapping[str, str] = {}
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        node = {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {
                "name": self.name,
                "labels": {
                    "simulated": self.group,
                    "kubernetes.io/hostname": self.name,
                    **self.labels,
                },
            },
            "spec": {"taints": [{"key": "simulated", "value": self.group, "effect": "NoSchedule"}]},
        }
        await self.api.apply(f"/api/v1/nodes/{self.name}", node)
        self._amounts = AMOUNTS
        await self.join()

    async def join(self) -> None:
        """Plays the kubelet of a node that is registered already, with the amounts that it has."""
        await self._beat()
        self._tasks = [asyncio.create_task(self._heart()), asyncio.create_task(self._kubelet())]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.api.ask("DELETE", f"/api/v1/nodes/{self.name}", absent=True)
        lease = f"/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{self.name}"
        await self.api.ask("DELETE", lease, absent=True)

    def check(self) -> None:
        """Raises what ended the node's work, such as a script that knows no answer for a pod."""
        for task in self._tasks:
            if task.done():
                task.result()

    async def _heart(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            if self.answers:
                with contextlib.suppress(AssertionError, TimeoutError, aiohttp.ClientError):
                    await self._beat()

    async def _beat(self) -> None:
        ready = {
            "type": "Ready",
            "status": "True",
            "reason": "KubeletReady",
            "lastHeartbeatTime": _now(),
            "lastTransitionTime": _now(),
        }
        amounts = {"capacity": self._amounts, "allocatable": self._amounts}
        status = {"status": {**amounts, "conditions": [ready]}}
        path = f"/api/v1/nodes/{self.name}/status"
        await self.api.ask("PATCH", path, status, content_type=MERGE)
        lease = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self.name, "namespace": "kube-node-lease"},
            "spec": {
                "holderIdentity": self.name,
                "leaseDurationSeconds": 40,
                "renewTime": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
            },
        }
        path = f"/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{self.name}"
        await self.api.apply(path, lease)

    async def _kubelet(self) -> None:
        while True:
            if self.answers:
                # A request that fails on a busy machine is made again in the next round.
                with contextlib.suppress(AssertionError, TimeoutError, aiohttp.ClientError):
                    path = f"/api/v1/pods?fieldSelector=spec.nodeName={self.name}"
                    found = await self.api.items(path)
                    await asyncio.gather(*(self._sync(pod) for pod in found))
            await asyncio.sleep(POLL_SECONDS)

    async def _sync(self, pod: Object) -> None:
        phase = pod.get("status", {}).get("phase", "Pending")
        over = phase in ("Succeeded", "Failed")
        if "deletionTimestamp" in pod["metadata"]:
            if not over:
                names = [each["name"] for each in pod["spec"]["containers"]]
                await self._end(pod, dict.fromkeys(names, self.on_delete))
            await self._remove(pod)
        elif phase == "Pending":
            running = {"running": {"startedAt": _now()}}
            await self._say(pod, "Running", {each: running for each in _names(pod)})
        elif not over and (ends := self.script(pod)) is not None:
            await self._end(pod, ends)

    async def _end(self, pod: Object, ends: dict[str, End]) -> None:
        states = {
            name: {
                "terminated": {
                    "exitCode": end.code,
                    "reason": "Completed" if end.code == 0 else "Error",
                    "message": end.message,
                    "startedAt": _now(),
                    "finishedAt": _now(),
                }
            }
            for name, end in ends.items()
        }
        failed = any(end.code for end in ends.values())
        await self._say(pod, "Failed" if failed else "Succeeded", states)

    async def _say(self, pod: Object, phase: str, states: dict[str, Any]) -> None:
        spec = pod["spec"]

        def statuses(containers: list[Object]) -> list[Object]:
            return [
                {
                    "name": each["name"],
                    "image": each["image"],
                    "imageID": "",
                    "ready": phase == "Running",
                    "restartCount": 0,
                    "state": states[each["name"]],
                }
                for each in containers
                if each["name"] in states
            ]

        scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": _now()}
        ready = {
            "type": "Ready",
            "status": "True" if phase == "Running" else "False",
            "lastTransitionTime": _now(),
        }
        kept = [
            each
            for each in pod.get("status", {}).get("conditions", [])
            if each["type"] not in ("PodScheduled", "Ready")
        ]
        status = {
            "phase": phase,
            "startTime": _now(),
            "conditions": [*kept, scheduled, ready],
            "initContainerStatuses": statuses(spec.get("initContainers", [])),
            "containerStatuses": statuses(spec["containers"]),
        }
        metadata = pod["metadata"]
        path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}/status"
        await self.api.ask("PATCH", path, {"status": status}, content_type=MERGE, absent=True)

    async def _remove(self, pod: Object) -> None:
        metadata = pod["metadata"]
        path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}"
        body = {"gracePeriodSeconds": 0, "preconditions": {"uid": metadata["uid"]}}
        await self.api.ask("DELETE", path, body, absent=True)


def _names(pod: Object) -> list[str]:
    return [each["name"] for each in pod["spec"]["containers"]]
