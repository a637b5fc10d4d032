"""A life from beginning to end."""

from __future__ import annotations

from datetime import timedelta

import pytest

from finetune_operator.api.conditions import ConditionType
from finetune_operator.api.fine_tune_job_status import Phase
from finetune_operator.domain.actions import Apply, Delete
from tests.unit.domain.in_memory import InMemory, job
from tests.unit.domain.lifecycle.looks import condition


def test_all_goes_well() -> None:
    world = InMemory()
    world.finish_well()
    status = world.job.status
    assert status.phase is Phase.SUCCEEDED
    assert [name for kind, name in world.created if kind == "Job"] == [
        "chat-prepare-1",
        "chat-train-1",
        "chat-publish-1",
    ]
    assert status.evaluation is not None
    assert (status.evaluation.base["Loss"], status.evaluation.tuned["Loss"]) == ("1.84", "1.12")
    assert status.progress is not None
    assert (status.progress.steps, status.progress.percentage) == ("300/300", 100)
    assert status.resolved is not None
    assert status.resolved.model_revision == "a" * 40
    assert status.observed_generation == 1
    assert condition(world, ConditionType.RECONCILING)[0] == "False"
    assert condition(world, ConditionType.STALLED)[0] == "False"


def test_cleaning_up_takes_everything_but_the_job() -> None:
    world = InMemory(job(cleanupAfterSeconds=600))
    world.finish_well()
    decision = world.reconcile()
    assert decision.actions == ()
    assert decision.requeue_after == pytest.approx(600, abs=61)
    world.now += timedelta(seconds=601)
    world.settle()
    assert world.objects == {}
    assert world.reconcile().actions == ()


def test_actions_are_only_of_two_kinds() -> None:
    """What InMemory does not carry out would go unnoticed by all tests above."""
    world = InMemory()
    world.finish_well()
    assert all(isinstance(action, Apply | Delete) for action in world.decide().actions)
