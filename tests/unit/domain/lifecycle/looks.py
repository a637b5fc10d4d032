"""What the tests of a job's life look at and do."""

from __future__ import annotations

from typing import Any

from finetune_operator.api.conditions import ConditionType
from finetune_operator.api.fine_tune_job_status import Phase
from finetune_operator.domain.conditions import find
from finetune_trainer.manifest import (
    Progress,
    Stage,
)
from tests.unit.domain.in_memory import InMemory


def phase(world: InMemory) -> Phase | None:
    return world.job.status.phase


def condition(world: InMemory, kind: ConditionType) -> tuple[str, str, str]:
    found = find(world.job.status.conditions, kind)
    assert found is not None, f"{kind} was never set"
    return found.status, found.reason, found.message


def train_jobs(world: InMemory) -> list[str]:
    return [name for kind, name in world.created if kind == "Job" and "-train-" in name]


def edit(world: InMemory, **spec: Any) -> None:
    stored = world.job.to_dict()
    stored["spec"] |= spec
    stored["metadata"]["generation"] += 1
    world.job = type(world.job).from_stored(stored)


def report(step: int, attempt: int = 1, stage: Stage = Stage.TRAINING) -> Progress:
    return Progress(
        attempt=attempt,
        stage=stage,
        step=step,
        total_steps=1800,
        loss=1.3123,
        learning_rate=1.9e-4,
        tokens_per_second=15100.4,
        remaining_seconds=5880,
    )
