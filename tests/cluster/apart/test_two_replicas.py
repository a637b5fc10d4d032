"""Two operators and one Lease: whatever becomes of the one that leads, the other goes on, and
nothing is done twice.

Pods are simulated. Each operator is a process that speaks to the API server through a proxy of its
own, so that it is known which of them wrote what.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from tests.cluster.apart.test_operator_writes import post, token_of
from tests.cluster.simulation import trainer
from tests.cluster.simulation.api import Object
from tests.cluster.simulation.control_plane import ControlPlane
from tests.cluster.simulation.node import End
from tests.cluster.simulation.operator_process import OperatorProcess
from tests.cluster.simulation.proxy import Proxy, Write
from tests.cluster.simulation.world import World, world

pytestmark = pytest.mark.apart

KILLED_WITHIN = 20.0
"""Seconds from a leader's sudden death to the first work of its successor."""
ENDED_WITHIN = 5.0
"""From SIGTERM."""


def script(pod: Object) -> dict[str, End] | None:
    """Jobs that are called `long-…` train for ever."""
    name, role, _ = trainer.attempt_of(pod)
    return None if role == "train" and name.startswith("long") else trainer.well(pod)


@dataclass
class Replica:
    name: str
    process: OperatorProcess
    proxy: Proxy
    progress_port: int
    probe_port: int

    def writes(self) -> list[Write]:
        """All but the Lease."""
        return [each for each in self.proxy.writes if each.resource != "leases"]

    async def is_ready(self) -> None:
        url = f"http://127.0.0.1:{self.probe_port}/readyz"
        async with asyncio.timeout(30), aiohttp.ClientSession() as session:
            while True:
                try:
                    async with session.get(url) as response:
                        if response.status == 200:
                            return
                except aiohttp.ClientError:
                    pass  # it does not listen yet
                await asyncio.sleep(0.1)

    async def has_ended(self) -> None:
        async with asyncio.timeout(30):
            while True:
                try:
                    os.kill(self.process.pid, 0)
                except ProcessLookupError:
                    break
                await asyncio.sleep(0.02)
        self.process.pid = 0


@dataclass
class Pair:
    world: World
    leader: Replica
    standby: Replica

    async def lease(self) -> Object:
        path = f"/apis/coordination.k8s.io/v1/namespaces/{self.world.namespace}/leases/operator"
        found: Object = (await self.world.api.ask("GET", path, absent=True)).get("spec", {})
        return found

    async def is_led_by(self, replica: Replica) -> None:
        async with asyncio.timeout(30):
            while True:
                if (await self.lease()).get("holderIdentity") == replica.name:
                    return
                await asyncio.sleep(0.05)

    async def works_after(self, start: float, job: str) -> float:
        """Seconds from `start` until a job that was made since is accepted."""
        await self.world.create(job)
        await self.world.until(lambda jobs: "phase" in jobs[job].get("status", {}), deadline=60)
        return time.monotonic() - start

    async def are(self, phase: str, *names: str) -> dict[str, Object]:
        def hold(jobs: dict[str, Object]) -> bool:
            return all(jobs[name].get("status", {}).get("phase") == phase for name in names)

        return await self.world.until(hold, deadline=60)

    async def shows(self, job: str, step: int) -> None:
        """Progress is written once in ten seconds."""
        await self.world.until(
            lambda jobs: jobs[job]["status"].get("progress", {}).get("step") == step, deadline=15
        )

    def made_once(self) -> None:
        """No child was created twice, by whomever."""
        writes = [*self.leader.proxy.writes, *self.standby.proxy.writes]
        made = Counter(
            (each.resource, each.name)
            for each in writes
            if each.status == 201 and each.resource != "events"
        )
        assert made
        assert not {what: times for what, times in made.items() if times > 1}


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        number: int = found.getsockname()[1]
        return number


@asynccontextmanager
async def pair(name: str, plane: ControlPlane, directory: Path) -> AsyncIterator[Pair]:
    """Two replicas at rest, of which the first leads."""
    namespace = f"{name}-{os.getpid()}"
    ports = [free_port() for _ in range(4)]

    def settings(identity: str, progress_port: int, probe_port: int) -> dict[str, str]:
        return {
            "FINETUNE_LEASE": f"{namespace}/operator",
            "FINETUNE_POD_NAME": identity,
            "FINETUNE_POD_IP": "127.0.0.1",
            "FINETUNE_PROGRESS_PORT": str(progress_port),
            "FINETUNE_PROGRESS_URL": f"http://127.0.0.1:{progress_port}",
            "FINETUNE_PROBE_PORT": str(probe_port),
        }

    async with AsyncExitStack() as stack:
        first = settings("first", ports[0], ports[1])
        the_world = await stack.enter_async_context(
            world(name, script, directory, settings=first, plane=plane)
        )
        assert the_world.namespace == namespace
        leader = Replica("first", the_world.operator, the_world.proxy, ports[0], ports[1])
        proxy, config = await stack.enter_async_context(Proxy(the_world.api).serving())
        kubeconfig = directory / "second.json"
        kubeconfig.write_text(json.dumps(config))
        process = OperatorProcess(
            kubeconfig, directory / "second.log", settings("second", ports[2], ports[3])
        )
        stack.callback(process.close)
        standby = Replica("second", process, proxy, ports[2], ports[3])
        found = Pair(the_world, leader, standby)
        await found.is_led_by(leader)
        process.start()
        await asyncio.gather(leader.is_ready(), standby.is_ready())
        yield found
        found.made_once()


async def test_one_works_and_either_takes_progress(plane: ControlPlane, tmp_path: Path) -> None:
    async with pair("both", plane, tmp_path) as both:
        await both.world.create("short")
        await both.world.create("long")
        await both.are("Succeeded", "short")
        await both.are("Training", "long")
        pods = [pod for pod in await both.world.children("pods") if pod_of(pod, "long")]
        token = await token_of(both.world, pods[0])
        for step, replica in enumerate((both.standby, both.leader, both.standby), 1):
            url = f"http://127.0.0.1:{replica.progress_port}/v1/progress"
            url = f"{url}/{both.world.namespace}/long"
            assert await post(url, token, step=step) == 204
            assert await post(url, "nonsense", step=step + 1) == 401
            await both.shows("long", step)
        assert both.leader.writes()
        assert both.standby.proxy.writes == [], "a standby writes nothing, not even the Lease"


async def test_the_other_takes_over_from_one_that_is_killed(
    plane: ControlPlane, tmp_path: Path
) -> None:
    async with pair("killed-leader", plane, tmp_path) as both:
        await both.world.create("long-0")
        await both.are("Training", "long-0")
        assert both.standby.writes() == []
        both.leader.process.kill()
        took = await both.works_after(time.monotonic(), "long-1")
        print(f"kill -9 of the leader: its successor worked after {took:.1f} s")
        assert took < KILLED_WITHIN
        jobs = await both.are("Training", "long-0", "long-1")
        assert {jobs[name]["status"]["attempts"]["current"] for name in jobs} == {1}
        # Its container is started again: it finds another leader, and stands by.
        before = len(both.leader.proxy.writes)
        both.leader.process.start()
        await both.leader.is_ready()
        await both.works_after(time.monotonic(), "long-2")
        assert both.leader.proxy.writes[before:] == []


async def test_an_upgrade_hands_over_within_seconds(plane: ControlPlane, tmp_path: Path) -> None:
    async with pair("upgrade", plane, tmp_path) as both:
        await both.world.create("long-0")
        await both.are("Training", "long-0")
        turns = [(both.leader, both.standby), (both.standby, both.leader)]
        for number, (old, new) in enumerate(turns, 1):
            told = time.monotonic()
            os.kill(old.process.pid, signal.SIGTERM)
            took = await both.works_after(told, f"long-{number}")
            print(f"SIGTERM to the leader: its successor worked after {took:.1f} s")
            assert took < ENDED_WITHIN
            assert (await both.lease())["holderIdentity"] == new.name
            await old.has_ended()
            old.process.start()
            await old.is_ready()
        jobs = await both.are("Training", "long-0", "long-1", "long-2")
        assert {jobs[name]["status"]["attempts"]["current"] for name in jobs} == {1}


async def test_one_that_was_frozen_does_nothing_any_more(
    plane: ControlPlane, tmp_path: Path
) -> None:
    async with pair("frozen", plane, tmp_path) as both:
        await both.works_after(time.monotonic(), "short-0")  # which is far from its end
        os.kill(both.leader.process.pid, signal.SIGSTOP)
        await both.is_led_by(both.standby)
        await both.works_after(time.monotonic(), "short-1")
        before = len(both.leader.proxy.writes)
        os.kill(both.leader.process.pid, signal.SIGCONT)
        await both.leader.has_ended()
        assert both.leader.proxy.writes[before:] == []
        await both.are("Succeeded", "short-0", "short-1")


def pod_of(pod: Object, job: str) -> bool:
    return trainer.attempt_of(pod)[:2] == (job, "train")
