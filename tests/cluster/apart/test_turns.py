"""Jobs of several nodes take turns. Nodes and pods are simulated."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.cluster.simulation import trainer
from tests.cluster.simulation.api import Object
from tests.cluster.simulation.control_plane import ControlPlane
from tests.cluster.simulation.node import End
from tests.cluster.simulation.world import World, world

pytestmark = pytest.mark.apart

TRAINING_SECONDS = 3.0
TWO_NODES = {
    "device": "CPU",
    "nodes": 2,
    "podTemplate": {
        "resources": {"requests": {"cpu": "40"}},  # of the 64 that a simulated node has
        "tolerations": [{"key": "simulated", "operator": "Exists"}],
    },
}


def compute(the_world: World) -> Object:
    template = {**TWO_NODES["podTemplate"], "nodeSelector": {"simulated": the_world.namespace}}  # type: ignore[dict-item]
    return {**TWO_NODES, "podTemplate": template}


class TrainsForAWhile:
    """Training takes a few seconds from the moment all pods of the attempt run."""

    def __init__(self) -> None:
        self.running: dict[tuple[str, int], dict[str, float]] = {}
        self.together: set[frozenset[str]] = set()
        """Which jobs were seen training at a time."""

    def __call__(self, pod: Object) -> dict[str, End] | None:
        name, role, number = trainer.attempt_of(pod)
        if role != "train":
            return trainer.well(pod)
        pods = self.running.setdefault((name, number), {})
        pods.setdefault(pod["metadata"]["name"], time.monotonic())
        now = time.monotonic()
        busy = {
            job
            for (job, _), each in self.running.items()
            if each and now - max(each.values()) < TRAINING_SECONDS
        }
        self.together.add(frozenset(busy))
        if len(pods) == 2 and now - max(pods.values()) > TRAINING_SECONDS:
            return trainer.well(pod)
        return None


async def test_two_jobs_of_two_nodes_with_room_for_one(plane: ControlPlane, tmp_path: Path) -> None:
    script = TrainsForAWhile()
    async with world("room", script, tmp_path, nodes=2, plane=plane) as the_world:
        for name in ("one", "two"):
            await the_world.create(name, compute=compute(the_world))
        jobs = await the_world.until(
            lambda jobs: all(
                job.get("status", {}).get("phase") == "Succeeded" for job in jobs.values()
            ),
            deadline=150,
        )
        assert {name: job["status"]["attempts"]["failures"] for name, job in jobs.items()} == {
            "one": 0,
            "two": 0,
        }
        assert frozenset({"one", "two"}) not in script.together
        nodes = {
            (pod["metadata"]["labels"]["finetune.dev/job"], pod["spec"]["nodeName"])
            for pod in await the_world.children("pods")
            if trainer.attempt_of(pod)[1] == "train"
        }
        assert len(nodes) == 4, "each pod of a job has a node of its own"
