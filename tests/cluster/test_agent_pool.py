"""An agent pool that comes for a job, with a real node, and goes after it. Only Azure is played:
everything of Azure's protocol that the operator meets, at Azure's own addresses."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.arm.cluster import FakeCluster
from tests.arm.server import CLUSTER, GROUP, SUBSCRIPTION, ArmServer
from tests.arm.tunnel import public_cloud
from tests.cluster.agent_pools import machines
from tests.cluster.apart.test_given_nodes import FINALIZER
from tests.cluster.conftest import dump
from tests.cluster.kube import Kube, Object
from tests.cluster.resilience.jobs import Sources, finetune_job, push_sources, weights
from tests.cluster.simulation.world import JOBS, World, world

pytestmark = [pytest.mark.exclusive, pytest.mark.timeout(420)]

SIZE = "Standard_D4s_v5"
POOL = "kubernetes.azure.com/agentpool"
AKS = {"subscriptionId": SUBSCRIPTION, "resourceGroup": GROUP, "cluster": CLUSTER}
OPERATION_SECONDS = 4.0


@pytest.fixture(scope="module")
def sources(cluster: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Sources:
    return push_sources(cluster["registry"], tmp_path_factory.mktemp("sources"))


def the_class(images: Path) -> Object:
    """Of pods that are real."""
    values = json.loads(images.read_text())
    return {"images": {"trainer": values["images"]["trainer"]}, **values.get("class", {})}


def a_job(the_world: World, sources: Sources) -> Object:
    claim = {"storageClassName": "shared", "accessModes": ["ReadWriteMany"]}
    change = {
        "spec": {
            "className": the_world.class_name,
            "training": {"maxSteps": 60},
            "compute": {"instanceTypes": [SIZE]},
            # What prepares and publishes runs on the nodes that were there before.
            "checkpoint": {"volumeClaim": claim},
        }
    }
    return finetune_job("one", sources, the_world.namespace, change=change)


@contextlib.contextmanager
def told_of(namespace: str) -> Iterator[None]:
    """Where it fails, all there is to know is printed before it is taken away."""
    try:
        yield
    except BaseException:
        dump(Kube(namespace))
        raise


async def test_a_real_node_comes_for_the_training_and_goes_after_it(
    cluster: dict[str, Any], images: Path, sources: Sources, tmp_path: Path
) -> None:
    everywhere = Kube("")
    before = {each["metadata"]["name"] for each in everywhere.items("nodes")}
    azure = FakeCluster(lambda: datetime.now(UTC), OPERATION_SECONDS)
    azure.foreign("system", count=0)
    async with (
        public_cloud(ArmServer(azure, azure.now), tmp_path) as environment,
        machines(azure) as nodes,
        world(
            "azure", lambda pod: None, tmp_path, nodes=0, settings=environment,
            provisioner={"type": "AKS", "aks": AKS}, its_class=the_class(images),
        ) as the_world,
    ):  # fmt: skip
        with told_of(the_world.namespace):
            job = a_job(the_world, sources)
            await the_world.api.ask("POST", JOBS.format(the_world.namespace), job)

            jobs = await the_world.until(
                lambda jobs: jobs["one"]["status"].get("phase") == "Training", deadline=200
            )
            (name,) = nodes.running
            (pool,) = azure.pools.keys() - {"system"}
            assert name.startswith(f"aks-{pool}-vmss")
            assert everywhere.get("node", name)["metadata"]["labels"][POOL] == pool
            assert jobs["one"]["status"]["nodes"]["instanceType"] == SIZE
            assert FINALIZER in jobs["one"]["metadata"]["finalizers"]
            trained_on = {
                each["spec"]["nodeName"]
                for each in await the_world.children("pods")
                if each["metadata"]["labels"]["finetune.dev/role"] == "train"
            }
            assert trained_on == {name}

            jobs = await the_world.until(
                lambda jobs: (
                    jobs["one"]["status"].get("phase") == "Succeeded"
                    and "finalizers" not in jobs["one"]["metadata"]
                ),
                deadline=200,
            )
            assert jobs["one"]["status"]["attempts"]["current"] == 1
            assert weights(jobs["one"], sources, tmp_path), "trained for real"
            assert azure.writes == [("PUT", pool), ("DELETE", pool)]
            everywhere.wait_gone("node", name, deadline=60)
            left = {each["metadata"]["name"] for each in everywhere.items("nodes")}
            assert left == before
