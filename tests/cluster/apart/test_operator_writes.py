"""What a job in training costs the API server. Pods are simulated.

Writes are counted by the proxy between the operator and the API server. What an operator at rest
costs: resilience/test_idle_operator.py.
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
from tests.cluster.simulation.control_plane import ControlPlane
from tests.cluster.simulation.node import End
from tests.cluster.simulation.world import World, world

pytestmark = pytest.mark.apart

AUDIENCE = "finetune-operator"


def all_are(phase: str, count: int) -> Any:
    def hold(jobs: dict[str, Object]) -> bool:
        return len(jobs) == count and all(
            job.get("status", {}).get("phase") == phase for job in jobs.values()
        )

    return hold


def trains_for_ever(pod: Object) -> dict[str, End] | None:
    return None if trainer.attempt_of(pod)[1] == "train" else trainer.well(pod)


@pytest.fixture
def port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        number: int = found.getsockname()[1]
        return number


async def test_progress_is_shown_at_most_every_ten_seconds(
    plane: ControlPlane, tmp_path: Path, port: int
) -> None:
    settings = {
        "FINETUNE_PROGRESS_PORT": str(port),
        "FINETUNE_PROGRESS_URL": f"http://127.0.0.1:{port}",
    }
    async with world(
        "progress", trains_for_ever, tmp_path, settings=settings, plane=plane
    ) as the_world:
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
