"""A registry that is down delays the publication, and holds no trainer meanwhile."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from tests.cluster.kube import Kube, condition, counted, is_true
from tests.cluster.resilience.jobs import Sources, finetune_job, weights
from tests.cluster.resilience.machine import registry_stopped
from tests.cluster.resilience.trainer_log import TrainerLog

pytestmark = pytest.mark.exclusive


def test_publishing_waits_for_the_registry(kube: Kube, sources: Sources, tmp_path: Path) -> None:
    kube.apply(finetune_job("patient", sources, kube.namespace))
    with TrainerLog.of_attempt(kube, "patient", 1) as log, contextlib.ExitStack() as down:
        log.wait_for_step(1, deadline=240)
        down.enter_context(registry_stopped())
        job = kube.wait_for(
            "finetunejob",
            "patient",
            lambda job: condition(job, "Reconciling").get("reason") == "Unavailable",
            deadline=240,
        )
        log.ended(deadline=10)
        assert job["status"]["phase"] == "Publishing"
        assert is_true(job, "Trained")
        assert not is_true(job, "Published")
        assert sources.registry in condition(job, "Reconciling")["message"]
        trainers = kube.items("pods", "finetune.dev/job=patient,finetune.dev/role=train")
        assert {pod["status"]["phase"] for pod in trainers} <= {"Succeeded"}
    published = kube.wait_for_job("patient", deadline=240)
    assert counted(published) == (1, 0, 0)
    assert weights(published, sources, tmp_path)
