"""A job that its user stops for a while."""

from __future__ import annotations

from datetime import timedelta

from finetune_operator.api.conditions import ConditionType
from finetune_operator.api.fine_tune_job_status import Phase
from tests.unit.domain.in_memory import InMemory, job
from tests.unit.domain.lifecycle.looks import condition, edit, phase, train_jobs


def test_suspend_and_resume() -> None:
    world = InMemory()
    pod = world.to_training()
    edit(world, suspend=True)
    world.settle()
    assert phase(world) is not Phase.SUSPENDED, "a checkpoint is being saved"
    world.end(pod, 13)
    world.settle()
    assert phase(world) is Phase.SUSPENDED
    assert condition(world, ConditionType.SUSPENDED)[0] == "True"
    world.now += timedelta(days=1)
    assert world.reconcile().requeue_after is None
    edit(world, suspend=False)
    world.settle()
    assert train_jobs(world) == ["chat-train-1", "chat-train-2"]
    world.finish_well()
    assert phase(world) is Phase.SUCCEEDED


def test_suspended_from_the_start_and_edited_meanwhile() -> None:
    world = InMemory(job(suspend=True))
    world.settle()
    assert phase(world) is Phase.SUSPENDED
    first = world.job.status.resolved
    edit(world, training={"seed": 7, "maxLength": 128, "tokensPerBatch": 512})
    world.now += timedelta(seconds=2)
    world.settle()
    assert world.job.status.resolved != first
    edit(world, suspend=False)
    world.finish_well()
    assert phase(world) is Phase.SUCCEEDED
