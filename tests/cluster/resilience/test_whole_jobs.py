"""Jobs of several nodes start whole or not at all, and leave whole."""

from __future__ import annotations

from datetime import datetime

import pytest

from tests.cluster.kube import Kube, Object, merge
from tests.cluster.resilience.jobs import STEPS, TWO_NODES, Sources, finetune_job
from tests.cluster.resilience.trainer_log import TrainerLog, running_pod

pytestmark = pytest.mark.exclusive

ENDS_WITHIN = 420


def room_for_one(node: Object) -> Object:
    """Requests of which a node can hold one but not two."""
    processors = int(float(node["status"]["allocatable"]["cpu"]) * 1000)
    request = {"requests": {"cpu": f"{processors * 6 // 10}m"}}
    compute = {"podTemplate": {"resources": request}}
    made: Object = merge(TWO_NODES, {"spec": {"training": {"maxSteps": 20}, "compute": compute}})
    return made


def trained(kube: Kube, job: str) -> tuple[datetime, datetime]:
    """When the first train container of a job began, and the last one ended."""
    pods = kube.items("pods", f"finetune.dev/job={job},finetune.dev/role=train")
    ended = [pod["status"]["containerStatuses"][0]["state"]["terminated"] for pod in pods]
    assert [each["exitCode"] for each in ended] == [0, 0]
    return (
        min(datetime.fromisoformat(each["startedAt"]) for each in ended),
        max(datetime.fromisoformat(each["finishedAt"]) for each in ended),
    )


def test_two_jobs_with_room_for_one_run_one_after_the_other(
    kube: Kube, sources: Sources, second: str
) -> None:
    change = room_for_one(Kube("").get("node", second))
    names = ("left", "right")
    kube.apply(*(finetune_job(name, sources, kube.namespace, change=change) for name in names))
    for name in names:
        job = kube.wait_for_job(name, deadline=ENDS_WITHIN)
        assert job["status"]["attempts"]["failures"] == 0
    (_, one_ended), (other_began, _) = sorted(trained(kube, name) for name in names)
    assert one_ended <= other_began


def test_a_namespace_is_gone_with_the_job_amid_training(
    kube: Kube, sources: Sources, second: str
) -> None:
    kube.apply(finetune_job("short-lived", sources, kube.namespace, change=TWO_NODES))
    running_pod(kube, "short-lived", 1, 1)
    with TrainerLog.of_attempt(kube, "short-lived", 1) as log:
        log.wait_for_step(5, deadline=ENDS_WITHIN)
        Kube("").delete("namespace", kube.namespace, wait=120)
        assert log.ended(deadline=10).last < STEPS
