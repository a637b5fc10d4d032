"""Nodes that come for a job and have to go with it, amid the storm.

The provider is simulated, and so are its nodes and what runs on them; NodeClaims are asked for, and
given back, by the operators that the storm is about.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from tests.cluster.kube import Kube, Object
from tests.cluster.simulation import trainer
from tests.cluster.simulation.api import Api
from tests.cluster.simulation.gpu_provisioner import CLAIMS, provisioning
from tests.cluster.simulation.node import End
from tests.cluster.simulation.world import CLASSES
from tests.cluster.stand_in import installed, node_claims

TRAINS_SECONDS = 20.0
TYPES = ("Standard_NC24ads_A100_v4", "Standard_NC4as_T4_v3")


class TrainsForAWhile:
    """Trainings take that long from when their pod was first seen; servers serve for ever."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}

    def __call__(self, pod: Object) -> dict[str, End] | None:
        role = pod["metadata"]["labels"]["finetune.dev/role"]
        if role == "serve":
            return None
        since = self._since.setdefault(pod["metadata"]["uid"], time.monotonic())
        if role == "train" and time.monotonic() - since < TRAINS_SECONDS:
            return None
        return trainer.well(pod)


@asynccontextmanager
async def giving(
    api: Api, namespace: str, script: TrainsForAWhile, jobs: Iterable[str]
) -> AsyncIterator[None]:
    """There are a class of the namespace's name whose nodes come by NodeClaims, and who gives them.

    Args:
        jobs: names of those that need a volume.
    """
    its_class = {
        "apiVersion": "finetune.dev/v1beta1",
        "kind": "FineTuneClass",
        "metadata": {"name": namespace},
        "spec": {
            "images": {"trainer": "registry.local:5000/simulated:v1"},
            "provisioner": {"type": "KAITO"},
        },
    }
    volumes = [f"{namespace}-{name}" for name in jobs]
    with installed(Kube(""), node_claims()):
        for each in volumes:
            await api.apply(_volume(each), trainer.volume(each))
        await api.apply(f"{CLASSES}/{namespace}", its_class)
        try:
            async with provisioning(api, namespace, script):
                yield
        finally:
            await api.ask("DELETE", f"{CLASSES}/{namespace}", absent=True)
            for each in volumes:
                await api.ask("DELETE", _volume(each), absent=True)


def manifest(namespace: str, name: str) -> Object:
    """A job that trains on such a node, and does all else on one that is there."""
    made = trainer.job(namespace, name, namespace, class_name=namespace)
    made["spec"]["compute"]["instanceTypes"] = list(TYPES)
    made["spec"]["restarts"] = {"limit": 100}
    return made


async def held(api: Api, namespace: str) -> list[str]:
    """Nodes that are there for jobs, and what asks for them."""
    nodes = f"/api/v1/nodes?labelSelector=simulated%3D{namespace}"
    found = [f"nodes/{each['metadata']['name']}" for each in await api.items(nodes)]
    found += [f"nodeclaims/{each['metadata']['name']}" for each in await api.items(CLAIMS)]
    return [each for each in found if each != f"nodes/{namespace}"]


def _volume(name: str) -> str:
    return f"/api/v1/persistentvolumes/{name}"
