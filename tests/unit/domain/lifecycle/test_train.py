"""What is shown while training goes on."""

from __future__ import annotations

from datetime import timedelta

import pytest

from finetune_operator.api.conditions import ConditionType
from finetune_operator.api.fine_tune_job_status import Phase
from finetune_operator.api.reason import Reason
from finetune_trainer.manifest import Progress, Stage
from tests.unit.domain.in_memory import InMemory
from tests.unit.domain.lifecycle.looks import condition, report, train_jobs


def test_progress_is_shown_but_not_too_often() -> None:
    world = InMemory()
    world.to_training()
    world.now += timedelta(seconds=11)
    world.progress = report(420)
    world.settle()
    shown = world.job.status.progress
    assert shown is not None
    assert (shown.steps, shown.percentage, shown.loss) == ("420/1800", 23, "1.312")
    assert (shown.remaining, shown.tokens_per_second) == ("1h38m", 15100)
    world.now += timedelta(seconds=4)
    world.progress = report(430)
    decision = world.reconcile()
    assert world.job.status.progress == shown
    assert decision.requeue_after == 6
    world.now += timedelta(seconds=6)
    world.reconcile()
    assert world.job.status.progress is not None
    assert world.job.status.progress.step == 430


@pytest.mark.parametrize("code", [1, 11, 13])
def test_no_time_is_promised_when_nothing_trains(code: int) -> None:
    world = InMemory()
    pod = world.to_training()
    world.now += timedelta(seconds=11)
    world.progress = report(420)
    world.settle()
    world.end(pod, code)
    world.settle()
    shown = world.job.status.progress
    assert shown is not None
    assert (shown.steps, shown.remaining) == ("420/1800", None)


def test_a_run_that_hangs_is_started_again_and_counted() -> None:
    world = InMemory()
    pod = world.to_training()
    world.now += timedelta(seconds=11)
    world.progress = report(420)
    world.unchanged_seconds = 3600
    world.reconcile()
    assert condition(world, ConditionType.ADMITTED)[1] == Reason.STUCK
    world.unchanged_seconds, world.progress = 0, None
    world.settle()
    assert train_jobs(world) == ["chat-train-1"], "the pod can still write"
    world.end(pod, 137)
    world.now += timedelta(seconds=600)
    world.settle()
    assert train_jobs(world) == ["chat-train-1", "chat-train-2"]
    attempts = world.job.status.attempts
    assert attempts is not None
    assert (attempts.failures, attempts.disruptions) == (1, 0)
    assert attempts.last is not None
    assert attempts.last.message.startswith("no step since step 420, for 1h, where one took 4.3 s")


@pytest.mark.parametrize("late", [report(1000, attempt=2), report(0, stage=Stage.LOADING)])
def test_progress_of_another_attempt_or_of_loading_is_not_shown(late: Progress) -> None:
    world = InMemory()
    world.to_training()
    world.now += timedelta(seconds=60)
    world.progress = late
    world.settle()
    assert world.job.status.progress is not None
    assert world.job.status.progress.steps == "0/300"


def test_a_trainer_that_has_just_ended_is_not_said_to_be_starting() -> None:
    world = InMemory()
    pod = world.to_training()
    # The kubelet tells of the container's end first, and of the pod's a moment later.
    (state,) = pod["status"]["containerStatuses"]
    state["state"] = {"terminated": {"exitCode": 0, "message": ""}}
    world.settle()
    assert world.job.status.phase is Phase.TRAINING
    assert condition(world, ConditionType.RECONCILING)[1] == "Training"
