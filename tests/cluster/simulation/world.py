"""Everything a test with simulated pods stands on, and what it leaves behind taken away again."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from tests.cluster.kube import restricted
from tests.cluster.simulation import trainer
from tests.cluster.simulation.api import APPLY, MERGE, Api, Object
from tests.cluster.simulation.control_plane import ControlPlane
from tests.cluster.simulation.node import Script, SimulatedNode
from tests.cluster.simulation.operator_process import OperatorProcess
from tests.cluster.simulation.proxy import Proxy

CRDS = {
    path.stem: path.read_bytes() for path in (Path(__file__).parents[3] / "crds").glob("*.yaml")
}
"""Content of each CRD's file, by the file's name: group_plural."""
JOBS = "/apis/finetune.dev/v1beta1/namespaces/{}/finetunejobs"
CLASSES = "/apis/finetune.dev/v1beta1/finetuneclasses"
INSTALLED = "/apis/apps/v1/namespaces/finetune-system/deployments/finetune-operator"
ITS_PODS = (
    "/api/v1/namespaces/finetune-system/pods"
    "?labelSelector=app.kubernetes.io/name%3Dfinetune-operator"
)
POLL_SECONDS = 0.25


@dataclass
class World:
    """One namespace, a few simulated nodes, one operator behind a proxy."""

    api: Api
    proxy: Proxy
    operator: OperatorProcess
    nodes: list[SimulatedNode]
    namespace: str
    class_name: str
    _volumes: list[str] = field(default_factory=list)

    async def create(self, name: str, **spec: object) -> None:
        """Creates a job, and a volume for it to bind."""
        volume = f"{self.namespace}-{name}"
        self._volumes.append(volume)
        await self.api.apply(f"/api/v1/persistentvolumes/{volume}", trainer.volume(volume))
        await self.api.ask("POST", JOBS.format(self.namespace), self.manifest(name, **spec))

    def manifest(self, name: str, **spec: object) -> Object:
        """The job that `create` makes."""
        return trainer.job(self.namespace, name, self.namespace, class_name=self.class_name, **spec)

    async def create_workspace(self, name: str) -> None:
        """Creates an InferenceWorkspace whose pods go to the simulated nodes, and run there."""
        workspace = {
            "apiVersion": "finetune.dev/v1beta1",
            "kind": "InferenceWorkspace",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": {
                "className": self.class_name,
                "runtime": "Transformers",
                "podTemplate": {
                    "nodeSelector": {"simulated": self.namespace},
                    "tolerations": [{"key": "simulated", "operator": "Exists"}],
                },
            },
        }
        path = f"/apis/finetune.dev/v1beta1/namespaces/{self.namespace}/inferenceworkspaces"
        await self.api.ask("POST", path, workspace)

    async def change(self, name: str, **spec: object) -> None:
        """Edits fields of a job's spec."""
        path = f"{JOBS.format(self.namespace)}/{name}"
        await self.api.ask("PATCH", path, {"spec": spec}, content_type=MERGE)

    async def jobs(self) -> dict[str, Object]:
        """Every job of the namespace, by name."""
        found = await self.api.items(JOBS.format(self.namespace))
        return {each["metadata"]["name"]: each for each in found}

    async def children(self, plural: str, group: str = "api/v1") -> list[Object]:
        return await self.api.items(f"/{group}/namespaces/{self.namespace}/{plural}")

    async def until(
        self, holds: Callable[[dict[str, Object]], bool], *, deadline: float
    ) -> dict[str, Object]:
        """The jobs, once they are so; AssertionError with their states after `deadline` seconds."""
        seen: dict[str, Object] = {}
        try:
            async with asyncio.timeout(deadline):
                while True:
                    for node in self.nodes:
                        node.check()
                    seen = await self.jobs()
                    if holds(seen):
                        return seen
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            states = {name: each.get("status") for name, each in seen.items()}
            raise AssertionError(f"not so within {deadline} s: {json.dumps(states)}") from None

    async def tear_down(self) -> None:
        await self.api.ask("DELETE", f"/api/v1/namespaces/{self.namespace}", absent=True)
        async with asyncio.timeout(120):
            while True:
                if (await self._namespace())["kind"] != "Namespace":
                    break
                await asyncio.sleep(POLL_SECONDS)
        for name in self._volumes:
            await self.api.ask("DELETE", f"/api/v1/persistentvolumes/{name}", absent=True)
        await self.api.ask("DELETE", f"{CLASSES}/{self.class_name}", absent=True)

    async def _namespace(self) -> Object:
        return await self.api.ask("GET", f"/api/v1/namespaces/{self.namespace}", absent=True)


@asynccontextmanager
async def world(
    name: str,
    script: Script,
    directory: Path,
    *,
    nodes: int = 1,
    settings: Mapping[str, str] = MappingProxyType({}),
    provisioner: Mapping[str, object] = MappingProxyType({}),
    its_class: Mapping[str, object] = MappingProxyType({}),
    plane: ControlPlane | None = None,
) -> AsyncIterator[World]:
    """A world whose pods do what `script` says.

    Args:
        plane: where it is; None: in the cluster, whose installed operator sleeps meanwhile.
        directory: gets the kubeconfig and the operator's log.
        settings: environment variables of the operator.
        provisioner: of the class.
        its_class: other fields of it, where the pods are to be real.
    """
    identity = f"{name}-{os.getpid()}"
    async with (
        plane.api() if plane else Api() as api,
        installed_operator_asleep(api),
        Proxy(api).serving() as (
            proxy,
            kubeconfig,
        ),
    ):
        given = {"provisioner": dict(provisioner)} if provisioner else {}
        await _prepare(api, identity, {**given, **its_class})
        config = directory / "kubeconfig.json"
        config.write_text(json.dumps(kubeconfig))
        process = OperatorProcess(config, directory / "operator.log", settings)
        made_nodes = [
            SimulatedNode(api, f"{identity}-{number}", identity, script, trainer.PREEMPTED)
            for number in range(nodes)
        ]
        await asyncio.gather(*(node.start() for node in made_nodes))
        made = World(api, proxy, process, made_nodes, identity, identity)
        process.start()
        try:
            yield made
        finally:
            try:
                await made.tear_down()
            finally:
                process.close()
                await asyncio.gather(*(node.stop() for node in made_nodes))


async def _prepare(api: Api, identity: str, given: Mapping[str, object]) -> None:
    await asyncio.gather(*(_install(api, *crd) for crd in CRDS.items()))
    await api.apply(f"/api/v1/namespaces/{identity}", restricted(identity))
    its_class = {
        "apiVersion": "finetune.dev/v1beta1",
        "kind": "FineTuneClass",
        "metadata": {"name": identity},
        "spec": {"images": {"trainer": "registry.local:5000/simulated:v1"}, **given},
    }
    await api.apply(f"{CLASSES}/{identity}", its_class)


async def _install(api: Api, name: str, crd: bytes) -> None:
    """Returns when objects of the kind can be asked for, which takes a new CRD a moment."""
    group, plural = name.split("_")
    definition = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{plural}.{group}"
    async with api.session.patch(
        f"{api.connection.url}{definition}?fieldManager=test&force=true",
        data=crd,
        headers={"Content-Type": APPLY},
    ) as response:
        assert response.status < 300, await response.text()
    async with asyncio.timeout(30):
        while True:
            objects = f"{api.connection.url}/apis/{group}/v1beta1/{plural}"
            async with api.session.get(objects) as response:
                if response.status == 200:
                    return
            await asyncio.sleep(POLL_SECONDS)


@asynccontextmanager
async def installed_operator_asleep(api: Api) -> AsyncIterator[None]:
    """Two operators would both act; the installed one, if there is one, makes room."""
    found = await api.ask("GET", INSTALLED, absent=True)
    replicas = found.get("spec", {}).get("replicas", 0)
    if not replicas:
        yield
        return
    await _scale(api, 0)
    try:
        yield
    finally:
        await _scale(api, replicas)


async def _scale(api: Api, replicas: int) -> None:
    path = f"{INSTALLED}/scale"
    await api.ask("PATCH", path, {"spec": {"replicas": replicas}}, content_type=MERGE)
    async with asyncio.timeout(120):
        while True:
            found = await api.ask("GET", INSTALLED, absent=True)
            if found.get("code") == 404:
                return  # uninstalled meanwhile
            ready = found["status"].get("readyReplicas", 0) == replicas
            # One that is still ending, after a roll-out too, acts until it has ended.
            if ready and (replicas or not (await api.ask("GET", ITS_PODS))["items"]):
                return
            await asyncio.sleep(POLL_SECONDS)
