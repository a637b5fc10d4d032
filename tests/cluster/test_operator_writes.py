"""What an operator costs the API server: nothing at rest, little in training. Pods are simulated.

Writes are counted by the proxy between the operator and the API server.
"""

from __future__ import annotations

import asyncio
import socket
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.cluster.simulation import trainer
from tests.cluster.simulation.api import Object
from tests.cluster.simulation.node import End
from tests.cluster.simulation.world import JOBS, World, world

HUNDRED = 100
RESYNC_SECONDS = 5
MEMORY_LIMIT = 120 * 2**20
"""Bytes; the chart's request rests on it."""
AUDIENCE = "finetune-operator"


async def test_a_hundred_finished_jobs_cost_nothing(
    cluster: dict[str, Any], tmp_path: Path
) -> None:
    resync = {"FINETUNE_RESYNC_SECONDS": str(RESYNC_SECONDS)}
    async with world("rest", trainer.well, tmp_path, settings=resync) as the_world:
        names = [f"job-{number}" for number in range(HUNDRED)]
        for name in names:
            await the_world.create(name)
        await the_world.until(all_are("Succeeded", HUNDRED), deadline=240)
        assert the_world.operator.resident_bytes() < MEMORY_LIMIT
        # A successor looks at every job anew, and so does each resync.
        the_world.operator.kill()
        the_world.operator.start()
        await looked_at_all(the_world, times=2)
        before = await the_world.jobs()
        the_world.proxy.writes.clear()
        the_world.proxy.reads.clear()
        await looked_at_all(the_world, times=2)
        assert the_world.proxy.writes == []
        assert the_world.operator.resident_bytes() < MEMORY_LIMIT
        assert await the_world.jobs() == before
        print(f"{the_world.operator.resident_bytes() / 2**20:.0f} MiB resident")


def all_are(phase: str, count: int) -> Any:
    def hold(jobs: dict[str, Object]) -> bool:
        return len(jobs) == count and all(
            job.get("status", {}).get("phase") == phase for job in jobs.values()
        )

    return hold


async def looked_at_all(the_world: World, times: int) -> None:
    """Returns when the operator has read every job that often since the reads were cleared."""
    prefix = JOBS.format(the_world.namespace) + "/"
    async with asyncio.timeout(120):
        while True:
            counts = [count for path, count in the_world.proxy.reads.items() if prefix in path]
            if len(counts) >= HUNDRED and min(counts) >= times:
                return
            await asyncio.sleep(0.5)


def trains_for_ever(pod: Object) -> dict[str, End] | None:
    return None if trainer.attempt_of(pod)[1] == "train" else trainer.well(pod)


@pytest.fixture
def port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        number: int = found.getsockname()[1]
        return number


async def test_progress_is_shown_at_most_every_ten_seconds(
    cluster: dict[str, Any], tmp_path: Path, port: int
) -> None:
    settings = {
        "FINETUNE_PROGRESS_PORT": str(port),
        "FINETUNE_PROGRESS_URL": f"http://127.0.0.1:{port}",
    }
    async with world("progress", trains_for_ever, tmp_path, settings=settings) as the_world:
        await the_world.create("job-0")
        await the_world.until(all_are("Training", 1), deadline=60)
        [pod] = [
            pod for pod in await the_world.children("pods") if trainer.attempt_of(pod)[1] == "train"
        ]
        url = f"http://127.0.0.1:{port}/v1/progress/{the_world.namespace}/job-0"
        token = await token_of(the_world, pod)
        assert await post(url, token, step=1) == 204
        assert await post(url, "nonsense", step=2) == 401
        assert await post(url, await token_of(the_world, pod, audience="other"), step=2) == 401
        assert await post(url, token, step=2, attempt=2) == 401, "the pod is of attempt 1"
        assert await post(url.replace("job-0", "job-1"), token, step=2) == 401
        assert await post(url, token, step=-1) == 422
        started, step = time.monotonic(), 1
        the_world.proxy.writes.clear()
        while time.monotonic() - started < 25:
            step += 1
            assert await post(url, token, step=step) == 204
            await asyncio.sleep(0.5)
        written = [each for each in the_world.proxy.writes if "status" in each.resource]
        assert 1 <= len(written) <= 3
        shown = await the_world.until(
            lambda jobs: jobs["job-0"]["status"]["progress"]["step"] == step, deadline=15
        )
        progress = shown["job-0"]["status"]["progress"]
        assert progress["steps"] == f"{step}/300"
        assert progress["remaining"] == "1h38m"


async def token_of(the_world: World, pod: Object, audience: str = AUDIENCE) -> str:
    """A token as the kubelet mounts it into the pod."""
    metadata = pod["metadata"]
    reference = {
        "kind": "Pod",
        "apiVersion": "v1",
        "name": metadata["name"],
        "uid": metadata["uid"],
    }
    spec = {"audiences": [audience], "expirationSeconds": 3600, "boundObjectRef": reference}
    answer = await the_world.api.ask(
        "POST",
        f"/api/v1/namespaces/{the_world.namespace}/serviceaccounts/default/token",
        {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec},
    )
    token: str = answer["status"]["token"]
    return token


async def post(url: str, token: str, *, step: int, attempt: int = 1) -> int:
    body = {
        "attempt": attempt,
        "stage": "Training",
        "step": step,
        "totalSteps": 300,
        "loss": 1.25,
        "remainingSeconds": 5880,
    }
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, json=body, headers={"Authorization": f"Bearer {token}"}) as response,
    ):
        return response.status
