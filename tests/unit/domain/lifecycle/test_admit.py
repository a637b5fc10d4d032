"""Whose turn it is, where not all find room at a time."""

from __future__ import annotations

from datetime import timedelta

import pytest

from finetune_operator.api.conditions import ConditionType
from finetune_operator.api.fine_tune_job_status import Phase
from finetune_operator.api.reason import Reason
from finetune_operator.domain.line import Hold, Turn
from finetune_operator.domain.observed import Line
from tests.unit.domain.in_memory import InMemory, job
from tests.unit.domain.lifecycle.looks import condition, phase, train_jobs


def test_whole_jobs_wait_for_their_turn() -> None:
    world = InMemory(job(compute={"nodes": 2, "device": "CPU"}))
    world.line = Line(Turn(Hold.START, 2, 5, by="other/job"))
    world.settle()
    world.make_pods()
    [pod] = world.pods()
    world.run(pod)
    world.end(pod)
    world.settle()
    assert condition(world, ConditionType.ADMITTED)[:2] == ("False", Reason.WAITING_FOR_TURN)
    assert condition(world, ConditionType.ADMITTED)[2].startswith("place 2 of 5: job other/job ")
    assert world.job.status.place == "2/5"
    assert train_jobs(world) == []
    world.line = Line()
    world.settle()
    assert train_jobs(world) == ["chat-train-1"]
    assert world.job.status.place is None


@pytest.mark.parametrize(
    ("turn", "said"),
    [
        (
            Turn(Hold.NAMESPACE, 1, 1, limit=1),
            "place 1 of 1: FineTuneClass default lets 1 job of namespace team run at a time",
        ),
        (
            Turn(Hold.CLASS, 321, 1234, limit=2),
            "place 300 of 1200: FineTuneClass default lets 2 jobs run at a time",
        ),
    ],
)
def test_a_limit_of_the_class_holds_a_job_before_training(turn: Turn, said: str) -> None:
    world = InMemory()
    world.line = Line(turn)
    world.settle()
    world.make_pods()
    [pod] = world.pods()
    world.run(pod)
    world.end(pod)
    world.settle()
    assert phase(world) is Phase.QUEUED
    assert condition(world, ConditionType.ADMITTED) == ("False", Reason.WAITING_FOR_TURN, said)
    assert train_jobs(world) == []


def test_no_attempt_starts_before_somebody_has_looked_whose_turn_it_is() -> None:
    world = InMemory()
    world.line = None
    world.settle()
    world.make_pods()
    [pod] = world.pods()
    world.run(pod)
    world.end(pod)
    assert world.reconcile().requeue_after == 0
    assert train_jobs(world) == []
    world.line = Line()
    world.settle()
    assert train_jobs(world) == ["chat-train-1"]


def test_far_back_in_the_line_a_job_looks_less_often() -> None:
    asked: list[float | None] = []
    for place in (1, 12, 1000):
        world = InMemory()
        world.line = Line(Turn(Hold.CLASS, place, 1000, limit=1))
        world.settle()
        world.make_pods()
        [pod] = world.pods()
        world.end(pod)
        world.settle()
        asked.append(world.decide().requeue_after)
    assert asked == [5, 60, 300]


def test_half_a_job_gives_its_turn_back_when_others_wait() -> None:
    world = InMemory(job(compute={"nodes": 2, "device": "CPU"}))
    world.to_training()
    placed, waiting = world.pods()
    waiting["spec"].pop("nodeName", None)
    waiting["status"] = {"phase": "Pending"}
    world.now += timedelta(seconds=61)
    assert world.reconcile().actions == (), "nobody else needs the nodes"
    world.line = Line(next_whole="other/job")
    world.reconcile()
    world.end(placed, 13)
    world.line = Line(Turn(Hold.START, 1, 1, by="other/job"))
    world.settle()
    assert train_jobs(world) == ["chat-train-1"]
    attempts = world.job.status.attempts
    assert attempts is not None
    assert (attempts.failures, attempts.disruptions) == (0, 1)
