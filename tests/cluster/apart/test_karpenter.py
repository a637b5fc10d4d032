"""The real Karpenter with a simulated cloud: nodes come with the pods and go after them."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.apart.test_given_nodes import FINALIZER, Script
from tests.cluster.conftest import DEVCLUSTER
from tests.cluster.kube import Kube, condition
from tests.cluster.simulation import trainer
from tests.cluster.simulation.api import Object
from tests.cluster.simulation.control_plane import ControlPlane
from tests.cluster.simulation.karpenter import NODE_CLASS, Karpenter, Machine, karpenter
from tests.cluster.simulation.node import SimulatedNode
from tests.cluster.simulation.world import World, world

pytestmark = [
    pytest.mark.apart,
    pytest.mark.timeout(400),
    pytest.mark.usefixtures("_collected"),
]


@pytest.fixture
def _collected() -> Iterator[None]:
    """What is left is met here, and not in the test of something else."""
    yield
    gc.collect()


LARGE, SMALL, PLAIN = "Standard_NC24ads_A100_v4", "Standard_NC4as_T4_v3", "Standard_D8s_v5"
MACHINES = [
    Machine(LARGE, gpus=1, on_demand=3.67, spot=1.47),
    Machine(SMALL, gpus=1, on_demand=0.53, spot=0.21),
    Machine(PLAIN, gpus=0, on_demand=0.38, spot=0.08),
]
DO_NOT_DISRUPT = "karpenter.sh/do-not-disrupt"
POLL_SECONDS = 0.2


@pytest.fixture(scope="module")
def program(plane: ControlPlane) -> Iterator[Path]:
    """Karpenter's, of the version in dev/cluster/karpenter/go.mod; its CRDs are served, too."""
    command = [str(DEVCLUSTER), "build", "karpenter"]
    built = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    assert built.returncode == 0, built.stderr
    folder, kube = Path(built.stdout.strip()), Kube("", plane.kubeconfig())
    try:
        kube.run("apply", "--server-side", "--filename", str(folder / "crds"))
        kube.run("wait", "--for=condition=Established", "--timeout=60s", *_crds(folder))
        yield folder / "karpenter"
    finally:
        kube.run("delete", "--ignore-not-found", *_crds(folder), timeout=120)


def _crds(folder: Path) -> list[str]:
    """Each file's name is GROUP_PLURAL."""
    parts = (path.stem.partition("_") for path in (folder / "crds").glob("*.yaml"))
    return [f"crd/{plural}.{group}" for group, _, plural in parts]


@contextlib.asynccontextmanager
async def cloud(
    name: str,
    plane: ControlPlane,
    program: Path,
    script: Script,
    folder: Path,
    *,
    own: bool = False,
) -> AsyncIterator[tuple[World, Karpenter]]:
    """A world whose class uses the NodePool `name`, or makes one for each job.

    Its pods are those with the label of the namespace, which is also on nodes of own NodePools.
    """
    settings: Object = {"ownNodePools": {"nodeClassRef": NODE_CLASS}}
    provisioner = {"type": "Karpenter", "karpenter": settings if own else {"nodePools": [name]}}
    async with world(
        name, script, folder, nodes=0, provisioner=provisioner, plane=plane
    ) as the_world:
        space, label = the_world.namespace, {"finetune.dev/namespace": the_world.namespace}
        node = SimulatedNode(
            the_world.api, space, space, script, trainer.PREEMPTED, labels=label
        )  # for what needs no GPU
        await node.start()
        try:
            made = karpenter(
                program,
                plane.kubeconfig(),
                the_world.api,
                space,
                script,
                machines=MACHINES,
                folder=folder,
            )
            async with made as the_karpenter:
                if not own:
                    await the_karpenter.add_pool(name, labels=label)
                yield the_world, the_karpenter
        finally:
            await node.stop()


def compute(the_world: World, **fields: object) -> Object:
    """A GPU on one node of either type, the large one first."""
    pods = {
        "nodeSelector": {"finetune.dev/namespace": the_world.namespace},
        "tolerations": [{"key": "simulated", "operator": "Exists"}],
    }
    return {"device": "GPU", "instanceTypes": [LARGE, SMALL], "podTemplate": pods, **fields}


async def until(holds: Callable[[], Awaitable[Any]], deadline: float) -> Any:
    async with asyncio.timeout(deadline):
        while True:
            if found := await holds():
                return found
            await asyncio.sleep(POLL_SECONDS)


async def trained_on(script: Script, nodes: int, deadline: float) -> None:
    async def enough() -> bool:
        return len(script.trained_on) >= nodes

    await until(enough, deadline)


async def no_node_is_left(the_karpenter: Karpenter, deadline: float) -> None:
    async def none() -> bool:
        return not the_karpenter.nodes and not await the_karpenter.claims()

    await until(none, deadline)


async def succeeded(the_world: World, deadline: float) -> Object:
    jobs = await the_world.until(
        lambda jobs: jobs["one"]["status"].get("phase") == "Succeeded", deadline=deadline
    )
    status: Object = jobs["one"]["status"]
    return status


async def test_gpu_nodes_come_with_the_pods_and_go_after_them(
    plane: ControlPlane, program: Path, tmp_path: Path
) -> None:
    script = Script()
    async with cloud("gpu", plane, program, script, tmp_path) as (the_world, the_karpenter):
        await the_world.create("one", compute=compute(the_world, nodes=2))
        await trained_on(script, 2, 90)
        assert the_karpenter.made == [(LARGE, "on-demand")] * 2, "the first named, not the cheapest"
        assert set(script.trained_on) == set(the_karpenter.nodes)

        kept = {
            trainer.attempt_of(pod)[1]: pod["metadata"].get("annotations", {}).get(DO_NOT_DISRUPT)
            for pod in await the_world.children("pods")
        }
        assert kept == {"prepare": None, "train": "true"}

        # Karpenter says of a node in two minutes only once why it lets it be, and says first that
        # it is new; one that has begun anew has said nothing yet.
        await the_karpenter.restart()

        async def left_alone() -> bool:
            events = await the_world.api.items(
                "/api/v1/events?fieldSelector=involvedObject.kind=Node"
            )
            said = {
                each["involvedObject"]["name"]
                for each in events
                if each["reason"] == "DisruptionBlocked" and DO_NOT_DISRUPT in each["message"]
            }
            return said >= set(the_karpenter.nodes)

        await until(left_alone, 60)
        script.may_end = True
        await succeeded(the_world, 90)
        await no_node_is_left(the_karpenter, 90)
        assert len(the_karpenter.made) == 2


async def test_spot_of_every_type_before_any_on_demand(
    plane: ControlPlane, program: Path, tmp_path: Path
) -> None:
    script = Script()
    async with cloud("spot", plane, program, script, tmp_path) as (the_world, the_karpenter):
        the_karpenter.sell_out((LARGE, "spot"))
        spot = compute(the_world, capacityType="SpotPreferred")
        await the_world.create("one", compute=spot)
        await trained_on(script, 1, 120)
        assert the_karpenter.made == [(SMALL, "spot")]
        script.may_end = True
        await succeeded(the_world, 90)


async def test_what_is_sold_out_is_told_and_waited_for(
    plane: ControlPlane, program: Path, tmp_path: Path
) -> None:
    script = Script()
    async with cloud("sold-out", plane, program, script, tmp_path) as (the_world, the_karpenter):
        the_karpenter.sell_out((LARGE, "on-demand"), (SMALL, "on-demand"))
        await the_world.create("one", compute=compute(the_world))

        def told(jobs: dict[str, Object]) -> bool:
            message = condition(jobs["one"], "NodesReady").get("message", "")
            return all(
                f"InsufficientCapacityError: {name} (on-demand) is not available" in message
                for name in (LARGE, SMALL)
            )

        jobs = await the_world.until(told, deadline=120)
        assert condition(jobs["one"], "NodesReady")["reason"] == "InsufficientCapacity"
        assert not script.trained_on
        the_karpenter.sell_out((LARGE, "on-demand"))
        await trained_on(script, 1, 90)
        assert the_karpenter.made == [(SMALL, "on-demand")], "the next type"
        script.may_end = True
        status = await succeeded(the_world, 90)
        assert status["attempts"]["current"] == 1


async def test_a_machine_that_is_taken_back_is_replaced(
    plane: ControlPlane, program: Path, tmp_path: Path
) -> None:
    script = Script()
    async with cloud("lost", plane, program, script, tmp_path) as (the_world, the_karpenter):
        await the_world.create("one", compute=compute(the_world, capacityType="Spot"))
        await trained_on(script, 1, 90)
        [lost] = script.trained_on
        await the_karpenter.take_back(lost)
        await trained_on(script, 2, 240)
        script.may_end = True
        attempts = (await succeeded(the_world, 90))["attempts"]
        assert (attempts["failures"], attempts["disruptions"]) == (0, 1)
        assert the_karpenter.made == [(LARGE, "spot")] * 2
        await no_node_is_left(the_karpenter, 90)


async def test_a_pool_of_its_own_comes_and_goes_with_the_job(
    plane: ControlPlane, program: Path, tmp_path: Path
) -> None:
    script = Script()
    async with cloud("own", plane, program, script, tmp_path, own=True) as (
        the_world,
        the_karpenter,
    ):
        assert await the_karpenter.pools() == []
        await the_world.create("one", compute=compute(the_world))
        await trained_on(script, 1, 90)
        job = (await the_world.jobs())["one"]
        assert await the_karpenter.pools() == [f"finetune-{job['metadata']['uid']}"]
        assert FINALIZER in job["metadata"]["finalizers"]
        assert the_karpenter.made == [(LARGE, "on-demand")]
        script.may_end = True
        await succeeded(the_world, 90)
        await no_node_is_left(the_karpenter, 90)
        assert await the_karpenter.pools() == []
        await the_world.until(lambda jobs: "finalizers" not in jobs["one"]["metadata"], deadline=60)


async def test_what_no_pool_can_give_is_named(
    plane: ControlPlane, program: Path, tmp_path: Path
) -> None:
    script, absent = Script(), "Standard_ND96isr_H100_v5"
    async with cloud("absent", plane, program, script, tmp_path) as (the_world, the_karpenter):
        await the_world.create("one", compute=compute(the_world, instanceTypes=[absent]))

        def told(jobs: dict[str, Object]) -> bool:
            return absent in condition(jobs["one"], "NodesReady").get("message", "")

        jobs = await the_world.until(told, deadline=90)
        found = condition(jobs["one"], "NodesReady")
        assert found["reason"] == "Unschedulable"
        assert "node.kubernetes.io/instance-type In" in found["message"]
        assert the_karpenter.made == []
