"""The FineTuneJobs that are measured, and their class."""

import asyncio
from collections.abc import Iterable

from tests.cluster.simulation import trainer
from tests.cluster.simulation.api import Api, Object

from bench.operator.children import JOBS, NAMESPACE

CLASS = "bench"
AT_A_TIME = 32
"""Requests under way, as many as the operator may have."""


async def prepare(api: Api) -> None:
    """Makes what they need."""
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    await api.apply(f"/api/v1/namespaces/{NAMESPACE}", namespace)
    its_class = {
        "apiVersion": "finetune.dev/v1beta1",
        "kind": "FineTuneClass",
        "metadata": {"name": CLASS},
        "spec": {"images": {"trainer": "registry.local:5000/simulated:v1"}},
    }
    await api.apply(f"/apis/finetune.dev/v1beta1/finetuneclasses/{CLASS}", its_class)


def names(prefix: str, count: int) -> list[str]:
    """So many of them."""
    return [f"{prefix}-{number:05}" for number in range(count)]


def manifest(name: str) -> Object:
    """A LoRA training on a CPU."""
    return trainer.job(NAMESPACE, name, NAMESPACE, class_name=CLASS)


async def create(api: Api, wanted: Iterable[str]) -> None:
    """All of them, as fast as the API server takes them."""
    turn = asyncio.Semaphore(AT_A_TIME)

    async def one(name: str) -> None:
        async with turn:
            await api.ask("POST", JOBS, manifest(name))

    await asyncio.gather(*(one(each) for each in wanted))


async def delete_all(api: Api) -> None:
    """With what belongs to them: nobody collects garbage here."""
    core = f"/api/v1/namespaces/{NAMESPACE}"
    for path in (
        JOBS,
        f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs",
        *(f"{core}/{each}" for each in ("configmaps", "pods", "events")),
        f"{core}/persistentvolumeclaims",
    ):
        await api.ask("DELETE", f"{path}?propagationPolicy=Background&gracePeriodSeconds=0")
