"""Real Kueue: two jobs, quota for one, preemption by priority. Pods are simulated."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from tests.cluster.kube import Kube, Object, condition
from tests.cluster.kueue import PRIORITY, QUEUE, kueue, queue
from tests.cluster.simulation import trainer
from tests.cluster.simulation.api import Api
from tests.cluster.simulation.stand import Patience, stand

__all__ = ["kueue"]  # a fixture

pytestmark = [pytest.mark.exclusive, pytest.mark.timeout(600)]

JOBS = "finetunejobs.finetune.dev"


def job(kube: Kube, name: str, node: str, labels: dict[str, str], **spec: object) -> Object:
    """A job each of whose pods asks for one CPU."""
    made = trainer.job(kube.namespace, name, node, class_name="default", **spec)
    made["metadata"]["labels"] = labels
    made["spec"]["compute"]["podTemplate"]["resources"] = {"requests": {"cpu": "1"}}
    return made


async def until(kube: Kube, name: str, holds: Callable[[Object], bool]) -> Object:
    return await asyncio.to_thread(kube.wait_for, JOBS, name, holds, deadline=90)


def phase(job: Object) -> str:
    found: str = job.get("status", {}).get("phase", "")
    return found


def held(job: Object) -> bool:
    """It waits for quota, in Kueue's words."""
    admitted = condition(job, "Admitted")
    return admitted.get("reason") == "HeldByQueue" and "unused quota" in admitted["message"]


async def test_two_jobs_with_quota_for_one_and_the_higher_priority_preempts(
    kueue: None, kube: Kube
) -> None:
    script = Patience()
    async with Api() as api, stand(api, kube.namespace, script, jobs=2) as node:
        with queue(kube, "research", "1") as urgent:
            kube.apply(job(kube, "patient", node, {QUEUE: "research"}))
            await until(kube, "patient", lambda job: phase(job) == "Training")
            kube.apply(job(kube, "urgent", node, {QUEUE: "research", PRIORITY: urgent}))
            await until(kube, "urgent", lambda job: phase(job) == "Training")
            waits = await until(kube, "patient", held)
            assert phase(waits) == "Queued"
            script.released.add("urgent")
            done = [await asyncio.to_thread(kube.wait_for_job, "urgent", deadline=90)]
            again = await until(kube, "patient", lambda job: phase(job) == "Training")
            assert condition(again, "Admitted")["status"] == "True"
            script.released.add("patient")
            done.append(await asyncio.to_thread(kube.wait_for_job, "patient", deadline=90))
            assert [each["status"]["attempts"]["failures"] for each in done] == [0, 0]
            events = {each["reason"] for each in kube.items("events")}
            assert "PreemptedWorkload" in events, "Kueue says so itself"


async def test_a_job_that_another_controller_manages_is_left_alone(kube: Kube) -> None:
    async with Api() as api, stand(api, kube.namespace, trainer.well, jobs=2) as node:
        elsewhere = job(kube, "elsewhere", node, {}, managedBy="kueue.x-k8s.io/multikueue")
        kube.apply(elsewhere, job(kube, "here", node, {}))
        await asyncio.to_thread(kube.wait_for_job, "here", deadline=90)
        assert kube.get(JOBS, "elsewhere")["status"] == {"observedGeneration": -1}, "the default"
        owners = {each["metadata"]["labels"]["finetune.dev/job"] for each in kube.items("jobs")}
        assert owners == {"here"}
        moved = kube.refused({**elsewhere, "spec": {**elsewhere["spec"], "managedBy": ""}})
        assert "spec.managedBy: Invalid value" in moved
        assert "managedBy cannot change" in moved
