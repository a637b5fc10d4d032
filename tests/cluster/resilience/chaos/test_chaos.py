"""Two operators, the API server, etcd and trainers are killed again and again, three requests of
ten are lost or their answers, clocks jump by up to an hour, and people do what they always do.

`make chaos` does it for five minutes, by a seed that it draws and prints; CHAOS_SEED=… repeats it.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.cluster.kube import Kube, counted
from tests.cluster.resilience.audit import AuditLog
from tests.cluster.resilience.chaos import given_nodes, judgement
from tests.cluster.resilience.chaos.chronicle import Chronicle
from tests.cluster.resilience.chaos.judgement import made_twice
from tests.cluster.resilience.chaos.orphans import objects, orphans, unused_revisions
from tests.cluster.resilience.chaos.people import WORKSPACE, People, given, push_bad
from tests.cluster.resilience.chaos.pod_logs import PodLogs
from tests.cluster.resilience.chaos.replica import Replica, replica
from tests.cluster.resilience.chaos.schedule import REPLICAS, schedule
from tests.cluster.resilience.chaos.storm import Storm
from tests.cluster.resilience.jobs import INTERVAL, Sources
from tests.cluster.simulation import trainer
from tests.cluster.simulation.api import Api, Object
from tests.cluster.simulation.node import Script, SimulatedNode
from tests.cluster.simulation.world import installed_operator_asleep

pytestmark = pytest.mark.exclusive

SEED = int(os.environ.get("CHAOS_SEED", "1"))
SECONDS = int(os.environ.get("CHAOS_SECONDS", "90"))
CAST_SECONDS = 60
"""Between two casts of jobs."""
CASTS = math.ceil(SECONDS / CAST_SECONDS)
OVER_WITHIN = 300.0
"""Seconds after the last fault in which every job has to end."""
TIDY_WITHIN = 60.0
"""Seconds after the last job in which nothing may be left over."""
POLL_SECONDS = 0.5


@dataclass
class Scene:
    api: Api
    namespace: str
    replicas: dict[str, Replica]
    chronicle: Chronicle
    logs: PodLogs


@asynccontextmanager
async def scene(kube: Kube, cluster: dict[str, Any], folder: Path) -> AsyncIterator[Scene]:
    """Two operators in the place of the installed one, and everything that looks on."""
    logs = PodLogs(Path(cluster["logs"]).parent / "nodes", kube.namespace)
    async with AsyncExitStack() as stack:
        stack.callback(logs.close)
        api = await stack.enter_async_context(Api())
        await stack.enter_async_context(installed_operator_asleep(api))
        script = given_nodes.TrainsForAWhile()
        await stack.enter_async_context(serving(api, kube.namespace, script))
        names = [name for number in range(CASTS) for name in given(number)]
        giving = given_nodes.giving(api, kube.namespace, script, names)
        await stack.enter_async_context(giving)
        replicas = {}
        for name in REPLICAS:
            (folder / name).mkdir()
            replicas[name] = await stack.enter_async_context(
                replica(
                    api,
                    name,
                    seed=SEED,
                    namespace=kube.namespace,
                    address=cluster["registryAddress"].rpartition(":")[0],
                    folder=folder / name,
                )
            )
        chronicle = Chronicle(api, kube.namespace)
        looking_on = [asyncio.create_task(each) for each in (chronicle.write(), logs.follow())]
        try:
            yield Scene(api, kube.namespace, replicas, chronicle, logs)
            for task in looking_on:
                assert not task.done() or task.result()
        finally:
            for task in looking_on:
                task.cancel()
            await asyncio.gather(*looking_on, return_exceptions=True)


@asynccontextmanager
async def serving(api: Api, namespace: str, script: Script) -> AsyncIterator[None]:
    """A workspace to publish to; its server is played, for it is not what is tested here."""
    node = SimulatedNode(api, namespace, namespace, script, trainer.PREEMPTED)
    await node.start()
    try:
        path = f"/apis/finetune.dev/v1beta1/namespaces/{namespace}/inferenceworkspaces/{WORKSPACE}"
        spec = {
            "runtime": "Transformers",
            "podTemplate": {
                "nodeSelector": {"simulated": namespace},
                "tolerations": [{"key": "simulated", "operator": "Exists"}],
            },
        }
        workspace = {
            "apiVersion": "finetune.dev/v1beta1",
            "kind": "InferenceWorkspace",
            "metadata": {"name": WORKSPACE},
            "spec": spec,
        }
        await api.apply(path, workspace)
        yield
    finally:
        await api.ask("DELETE", path, absent=True)
        selected = f"spec.nodeName={namespace},status.phase!=Succeeded,status.phase!=Failed"
        pods = f"/api/v1/pods?fieldSelector={selected}"
        async with asyncio.timeout(TIDY_WITHIN):
            while True:  # a node that is gone ends no pods
                if not await api.items(pods):
                    break
                await asyncio.sleep(POLL_SECONDS)
        await node.stop()


async def test_every_job_ends_as_it_has_earned(
    kube: Kube, cluster: dict[str, Any], sources: Sources, tmp_path: Path
) -> None:
    faults = schedule(SEED, SECONDS)
    print(f"\nCHAOS_SEED={SEED} CHAOS_SECONDS={SECONDS}", *faults, sep="\n")
    bad = push_bad(cluster["registry"], tmp_path)
    audit = AuditLog(Path(cluster["auditLog"]))
    async with scene(kube, cluster, tmp_path) as the_scene:
        people = People(the_scene.api, kube.namespace, sources, bad, the_scene.logs)
        storm = Storm(the_scene.replicas, the_scene.chronicle)
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            raging = group.create_task(storm.rage(faults, SECONDS))
            living = [group.create_task(enters(people, number)) for number in range(CASTS)]
            await raging
            calm = time.monotonic()
            try:
                async with asyncio.timeout(OVER_WITHIN):
                    await asyncio.gather(*living)
                    await over(the_scene)
            except TimeoutError:
                raise AssertionError(f"not over {OVER_WITHIN} s later: {tell(the_scene)}") from None
        over_after = time.monotonic() - calm
        left = await tidy(the_scene)
        print(report(the_scene, storm, over_after, time.monotonic() - began))
        requests = audit.namespace(kube.namespace)
        events = await the_scene.api.items(f"/api/v1/namespaces/{kube.namespace}/events")
        jobs = list(the_scene.chronicle.jobs.values())
        found = [*wrongs(the_scene, storm, jobs, events), *left]
        found += [f"{name} was made {times} times" for name, times in made_twice(requests).items()]
        assert found == [], tell(the_scene)


async def enters(people: People, number: int) -> None:
    await asyncio.sleep(number * CAST_SECONDS)
    await people.live(number)


async def over(the_scene: Scene) -> None:
    while True:
        if judgement.all_are_over(the_scene.chronicle.jobs.values(), CASTS):
            return
        await asyncio.sleep(POLL_SECONDS)


async def tidy(the_scene: Scene) -> list[str]:
    """What is left over in spite of the time that it had to go."""
    end = time.monotonic() + TIDY_WITHIN
    left = ["not looked at"]
    while left and time.monotonic() < end:
        with contextlib.suppress(AssertionError, TimeoutError, aiohttp.ClientError):
            found = await objects(the_scene.api, the_scene.namespace)
            left = [*orphans(found, "serve"), *sorted(unused_revisions(found))]
            left += await given_nodes.held(the_scene.api, the_scene.namespace)
            left += [
                f"{plural}/{each['metadata']['name']}"
                for plural, items in found.items()
                for each in items
                if each["metadata"]
                .get("labels", {})
                .get("finetune.dev/job", "")
                .startswith("deleted")
            ]
        await asyncio.sleep(POLL_SECONDS if left else 0)
    await the_scene.chronicle.look()
    the_scene.logs.read()
    return left


def wrongs(
    the_scene: Scene, storm: Storm, jobs: list[Object], events: list[Object]
) -> Iterator[str]:
    yield from the_scene.chronicle.taken_back
    yield from judgement.storms(jobs, events)
    for job in jobs:
        yield from judgement.undeserved(job)
        yield from judgement.miscounted(job, storm.killed)
        yield from judgement.trained_too_often(job["metadata"]["name"], the_scene.logs, INTERVAL)
    assert storm.killed, "no trainer was killed: none ran, amid the storm or in the calm after it"


def report(the_scene: Scene, storm: Storm, over_after: float, took: float) -> str:
    lines = []
    for name, each in the_scene.replicas.items():
        struck = Counter(
            f"{found.answer}{' after it was carried out' if found.carried_out else ''}"
            for found in each.proxy.struck.elements()
        )
        told = ", ".join(f"{times} × {what}" for what, times in sorted(struck.items()))
        lines.append(
            f"operator {name}: started {each.process.starts} times, {each.proxy.requests} requests,"
            f" of them {told}"
        )
    lines.append(f"trainers killed: {', '.join(f'{job} {number}' for job, number in storm.killed)}")
    for name, job in sorted(the_scene.chronicle.jobs.items()):
        if "attempts" not in job.get("status", {}):
            lines.append(f"{name}: {job.get('status', {}).get('phase')}")
            continue
        current, failures, disruptions = counted(job)
        lines.append(
            f"{name}: {job['status']['phase']}, {current} attempts, {failures} failures,"
            f" {disruptions} disruptions"
        )
    lines.append(f"all over {over_after:.0f} s after the last fault, {took:.0f} s after the first")
    return "\n".join(lines)


def tell(the_scene: Scene) -> str:
    states = {
        name: {key: job.get("status", {}).get(key) for key in ("phase", "conditions", "attempts")}
        for name, job in the_scene.chronicle.jobs.items()
    }
    ends = [each.log.read_text()[-6000:] for each in the_scene.replicas.values()]
    return "\n".join([str(states), *ends])
