"""Without Kueue: no more jobs of a namespace run than the class allows, the others in fair order.

Pods are simulated; the operator is the installed one.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

import pytest

from tests.cluster.kube import Kube, Object, condition
from tests.cluster.simulation import trainer
from tests.cluster.simulation.api import Api
from tests.cluster.simulation.stand import Patience, stand

pytestmark = [pytest.mark.exclusive, pytest.mark.timeout(300)]

JOBS = "finetunejobs.finetune.dev"


@contextlib.contextmanager
def one_at_a_time(name: str) -> Iterator[str]:
    """A class that lets one job of a namespace run, and a PriorityClass of the same name."""
    kube = Kube("")
    its_class = {
        "apiVersion": "finetune.dev/v1beta1",
        "kind": "FineTuneClass",
        "metadata": {"name": name},
        "spec": {
            "images": {"trainer": "registry.local:5000/simulated:v1"},
            "allowed": {"maxRunningJobsPerNamespace": 1},
        },
    }
    priority = {
        "apiVersion": "scheduling.k8s.io/v1",
        "kind": "PriorityClass",
        "metadata": {"name": name},
        "value": 1000,
        "preemptionPolicy": "Never",
    }
    kube.apply(its_class, priority)
    try:
        yield name
    finally:
        kube.delete("finetuneclass", name)
        kube.delete("priorityclass", name)


def waits(place: str, job: Object) -> bool:
    return bool(job.get("status", {}).get("place") == place)


async def test_jobs_past_the_limit_wait_in_fair_order_and_are_told_their_place(kube: Kube) -> None:
    script = Patience()
    with one_at_a_time(kube.namespace) as its_class:
        async with Api() as api, stand(api, kube.namespace, script, jobs=3) as node:

            async def create(name: str) -> None:
                job = trainer.job(kube.namespace, name, node, class_name=its_class)
                if name == "urgent":
                    template = job["spec"]["compute"]["podTemplate"]
                    template["priorityClassName"] = its_class
                await asyncio.to_thread(kube.apply, job)

            async def until(name: str, place: str) -> Object:
                return await asyncio.to_thread(
                    kube.wait_for, JOBS, name, lambda job: waits(place, job), deadline=60
                )

            await create("first")
            await asyncio.to_thread(
                kube.wait_for, JOBS, "first",
                lambda job: job.get("status", {}).get("phase") == "Training", deadline=60,
            )  # fmt: skip
            await create("second")
            alone = await until("second", "1/1")
            admitted = condition(alone, "Admitted")
            assert (admitted["status"], admitted["reason"]) == ("False", "WaitingForTurn")
            assert admitted["message"] == (
                f"place 1 of 1: FineTuneClass {its_class} lets 1 job of namespace {kube.namespace}"
                " run at a time"
            )
            assert alone["status"]["phase"] == "Queued"
            await create("urgent")
            await until("urgent", "1/2")
            await until("second", "2/2")
            assert script.started == ["first"]
            script.released.update({"first", "second", "urgent"})
            for name in ("first", "second", "urgent"):
                done = await asyncio.to_thread(kube.wait_for_job, name, deadline=90)
                assert "place" not in done["status"]
            assert script.started == ["first", "urgent", "second"]
