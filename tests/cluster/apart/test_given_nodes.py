"""Nodes that are made for a job and go with it. The provider is simulated: it fulfils NodeClaims,
by KAITO's own CRD where that is beside the repository."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.kube import Kube
from tests.cluster.simulation import trainer
from tests.cluster.simulation.api import Object
from tests.cluster.simulation.control_plane import ControlPlane
from tests.cluster.simulation.gpu_provisioner import GpuProvisioner, provisioning
from tests.cluster.simulation.node import End
from tests.cluster.simulation.world import JOBS, World, world
from tests.cluster.stand_in import installed, node_claims

pytestmark = [pytest.mark.apart, pytest.mark.timeout(300)]

LARGE, SMALL = "Standard_NC24ads_A100_v4", "Standard_NC4as_T4_v3"
FINALIZER = "finetune.dev/nodes"
POLL_SECONDS = 0.1


@pytest.fixture
def served(plane: ControlPlane) -> Iterator[None]:
    """The kind NodeClaim is served meanwhile."""
    with installed(Kube("", plane.kubeconfig()), node_claims()):
        yield


class Script:
    """Training goes on until it is told to end."""

    def __init__(self) -> None:
        self.trained_on: list[str] = []
        self.may_end = False

    def __call__(self, pod: Object) -> dict[str, End] | None:
        if trainer.attempt_of(pod)[1] != "train":
            return trainer.well(pod)
        if pod["spec"]["nodeName"] not in self.trained_on:
            self.trained_on.append(pod["spec"]["nodeName"])
        return trainer.well(pod) if self.may_end else None


@contextlib.asynccontextmanager
async def given(
    name: str, plane: ControlPlane, script: Script, folder: Path
) -> AsyncIterator[tuple[World, GpuProvisioner]]:
    """A world whose class gets nodes by NodeClaims, and who gives them."""
    async with (
        world(name, script, folder, provisioner={"type": "KAITO"}, plane=plane) as the_world,
        provisioning(the_world.api, the_world.namespace, script) as provider,
    ):
        yield the_world, provider


def compute(the_world: World) -> Object:
    made = trainer.job("", "", the_world.namespace, class_name="")["spec"]["compute"]
    return {**made, "instanceTypes": [LARGE, SMALL]}


async def until(holds: Callable[[], Any], deadline: float) -> None:
    async with asyncio.timeout(deadline):
        while True:
            if holds():
                return
            await asyncio.sleep(POLL_SECONDS)


async def no_claim_is_left(provider: GpuProvisioner, deadline: float) -> None:
    async with asyncio.timeout(deadline):
        while True:
            if not await provider.claims():
                return
            await asyncio.sleep(POLL_SECONDS)


async def test_nodes_come_for_the_training_and_go_after_it(
    served: None, plane: ControlPlane, tmp_path: Path
) -> None:
    script = Script()
    async with given("given", plane, script, tmp_path) as (the_world, provider):
        provider.without_capacity.add(LARGE)
        await the_world.create("one", compute=compute(the_world))
        await until(lambda: script.trained_on, 90)
        the_world.operator.kill()  # whatever it knew, it has to find out again
        the_world.operator.start()
        jobs = await the_world.until(
            lambda jobs: jobs["one"]["status"].get("phase") == "Training", deadline=60
        )
        nodes = jobs["one"]["status"]["nodes"]
        assert nodes["instanceType"] == SMALL
        [refused] = nodes["unavailable"]
        assert (refused["instanceType"], refused["reason"]) == (LARGE, "InsufficientCapacity")
        assert "westeurope" in refused["message"]
        assert FINALIZER in jobs["one"]["metadata"]["finalizers"]
        assert script.trained_on == list(provider.nodes)
        script.may_end = True
        jobs = await the_world.until(
            lambda jobs: jobs["one"]["status"].get("phase") == "Succeeded", deadline=90
        )
        await no_claim_is_left(provider, 30)
        assert provider.given == [SMALL], "one node, and once"
        jobs = await the_world.until(
            lambda jobs: "finalizers" not in jobs["one"]["metadata"], deadline=30
        )
        assert "instanceType" not in jobs["one"]["status"].get("nodes", {})


async def test_a_job_that_is_deleted_while_no_operator_runs_gives_its_nodes_back(
    served: None, plane: ControlPlane, tmp_path: Path
) -> None:
    script = Script()
    async with given("deleted", plane, script, tmp_path) as (the_world, provider):
        await the_world.create("one", compute=compute(the_world))
        await until(lambda: script.trained_on, 90)
        the_world.operator.kill()
        path = f"{JOBS.format(the_world.namespace)}/one"
        await the_world.api.ask("DELETE", path)
        assert await provider.claims(), "nobody is there to give them back"
        the_world.operator.start()
        await no_claim_is_left(provider, 60)
        await the_world.until(lambda jobs: not jobs, deadline=30)


async def test_a_lost_node_is_replaced_and_training_goes_on(
    served: None, plane: ControlPlane, tmp_path: Path
) -> None:
    script = Script()
    async with given("lost", plane, script, tmp_path) as (the_world, provider):
        await the_world.create("one", compute=compute(the_world))
        await until(lambda: script.trained_on, 90)
        (claim,) = await provider.claims()
        name = claim["metadata"]["name"]
        await the_world.api.ask("DELETE", f"/apis/karpenter.sh/v1/nodeclaims/{name}")
        await until(lambda: len(provider.given) == 2, 120)
        script.may_end = True
        jobs = await the_world.until(
            lambda jobs: jobs["one"]["status"].get("phase") == "Succeeded", deadline=120
        )
        attempts = jobs["one"]["status"]["attempts"]
        assert (attempts["failures"], attempts["disruptions"]) == (0, 1)
        await no_claim_is_left(provider, 30)
