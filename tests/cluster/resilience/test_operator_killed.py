"""The installed operator is killed (-9) at three moments of a job whose pods are real.

Every other moment, with simulated pods: tests/cluster/test_operator_killed.py.
"""

from __future__ import annotations

import pytest

from tests.cluster.conftest import OPERATOR_NAMESPACE
from tests.cluster.kube import Kube, Object, counted
from tests.cluster.resilience.jobs import Sources, finetune_job
from tests.cluster.resilience.machine import Container
from tests.cluster.resilience.trainer_log import TrainerLog, running_pod

pytestmark = pytest.mark.exclusive

ENDS_WITHIN = 420
SELECTOR = "app.kubernetes.io/name=finetune-operator"


def kill_operator() -> None:
    """SIGKILL; returns when the kubelet has started its successor."""
    kube = Kube(OPERATOR_NAMESPACE)
    (pod,) = kube.items("pods", SELECTOR)
    (status,) = pod["status"]["containerStatuses"]
    Container.of(pod).kill()

    def is_back(found: Object) -> bool:
        (now,) = found["status"]["containerStatuses"]
        return bool(now["restartCount"] > status["restartCount"] and now["ready"])

    kube.wait_for("pod", pod["metadata"]["name"], is_back, deadline=180)


def test_one_job_for_each_attempt_and_one_result(kube: Kube, sources: Sources) -> None:
    kube.apply(finetune_job("orphan", sources, kube.namespace))
    kube.wait_for("job", "orphan-prepare-1", lambda job: True, deadline=60)
    kill_operator()
    running_pod(kube, "orphan", 1, 0)
    with TrainerLog.of_attempt(kube, "orphan", 1) as log:
        log.wait_for_step(5, deadline=ENDS_WITHIN)
        kill_operator()
        kube.wait_for("job", "orphan-publish-1", lambda job: True, deadline=ENDS_WITHIN)
    kill_operator()
    job = kube.wait_for_job("orphan", deadline=ENDS_WITHIN)
    assert counted(job) == (1, 0, 0)
    assert len(job["status"]["artifacts"]) == 1
    assert {each["metadata"]["name"] for each in kube.items("jobs")} == {
        "orphan-prepare-1",
        "orphan-reuse-1",
        "orphan-train-1",
        "orphan-publish-1",
    }
