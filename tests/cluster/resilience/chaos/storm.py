"""Carries out a schedule of faults."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tests.cluster.kube import Object
from tests.cluster.resilience import machine
from tests.cluster.resilience.chaos.chronicle import Chronicle
from tests.cluster.resilience.chaos.replica import Replica
from tests.cluster.resilience.chaos.schedule import LEADER, Fault, Kind

POLL_SECONDS = 0.3
TRAINS_WITHIN = 120.0
"""Seconds of calm in which a trainer runs, if none did amid the storm."""
PROCESSES = {Kind.API_SERVER: "kube-apiserver", Kind.ETCD: "etcd"}


@dataclass
class Storm:
    replicas: Mapping[str, Replica]
    chronicle: Chronicle
    killed: list[tuple[str, int]] = field(default_factory=list)
    """Job and attempt of each trainer that was killed."""
    _dead: set[str] = field(default_factory=set)
    """Names of their pods, which the API server may still say to be running."""
    _a_trainer_is_dead: asyncio.Event = field(default_factory=asyncio.Event)

    async def rage(self, faults: Iterable[Fault], seconds: float) -> None:
        """Returns after so many seconds; what has found no victim by then is called off.

        But for the first trainer: operators that are disturbed enough bring none to train before
        the storm is over, and then it is the first one after it that is killed.
        """
        start = time.monotonic()
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._strike(each, start)) for each in faults]
            await asyncio.sleep(seconds)
            for each in self.replicas.values():
                each.proxy.stop()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._a_trainer_is_dead.wait(), TRAINS_WITHIN)
            for task in tasks:
                task.cancel()

    async def _strike(self, fault: Fault, start: float) -> None:
        await asyncio.sleep(start + fault.second - time.monotonic())
        if fault.kind is Kind.OPERATOR:
            self._replica(fault.target).kill(fault.amount)
        elif fault.kind is Kind.CLOCK:
            self.replicas[fault.target].clock.set(fault.amount)
        elif fault.kind is Kind.TRAINER:
            await self._kill_trainer(int(fault.target))
        else:
            # To its end, also when the time is over: a cluster without etcd helps nobody.
            await asyncio.shield(
                asyncio.to_thread(machine.kill_control_plane, PROCESSES[fault.kind])
            )

    def _replica(self, target: str) -> Replica:
        if target == LEADER:
            return max(self.replicas.values(), key=lambda each: each.proxy.written_at)
        return self.replicas[target]

    async def _kill_trainer(self, which: int) -> None:
        """One of those that run, or the first that does."""
        while True:
            running = sorted(filter(_trains, self.chronicle.pods), key=_name)
            running = [pod for pod in running if _name(pod) not in self._dead]
            if running:
                pod = running[which % len(running)]
                self._dead.add(_name(pod))
                container = await asyncio.to_thread(machine.Container.of, pod)
                if container.kill():
                    labels = pod["metadata"]["labels"]
                    attempt = int(labels["finetune.dev/attempt"])
                    self.killed.append((labels["finetune.dev/job"], attempt))
                    self._a_trainer_is_dead.set()
                    return
            await asyncio.sleep(POLL_SECONDS)


def _trains(pod: Object) -> bool:
    statuses = pod.get("status", {}).get("containerStatuses", [])
    train = pod["metadata"]["labels"].get("finetune.dev/role") == "train"
    played = "simulated" in pod["spec"].get("nodeSelector", {})
    return train and not played and any("running" in each["state"] for each in statuses)


def _name(pod: Object) -> str:
    name: str = pod["metadata"]["name"]
    return name
