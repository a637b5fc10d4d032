"""Whose turn it is, where not all find room at a time."""

from __future__ import annotations

from datetime import timedelta

from finetune_operator.api.conditions import ConditionType, Reason
from finetune_operator.domain.observed import Line
from tests.unit.domain.in_memory import InMemory, job
from tests.unit.domain.lifecycle.looks import condition, train_jobs


def test_whole_jobs_wait_for_their_turn() -> None:
    world = InMemory(job(compute={"nodes": 2, "device": "CPU"}))
    world.line = Line(starting=("other/job",))
    world.settle()
    world.make_pods()
    [pod] = world.pods()
    world.run(pod)
    world.end(pod)
    world.settle()
    assert condition(world, ConditionType.ADMITTED)[:2] == ("False", Reason.WAITING_FOR_TURN)
    assert "other/job" in condition(world, ConditionType.ADMITTED)[2]
    assert train_jobs(world) == []
    world.line = Line()
    world.settle()
    assert train_jobs(world) == ["chat-train-1"]


def test_half_a_job_gives_its_turn_back_when_others_wait() -> None:
    world = InMemory(job(compute={"nodes": 2, "device": "CPU"}))
    world.to_training()
    placed, waiting = world.pods()
    waiting["spec"].pop("nodeName", None)
    waiting["status"] = {"phase": "Pending"}
    world.now += timedelta(seconds=61)
    assert world.reconcile().actions == (), "nobody else needs the nodes"
    world.line = Line(waiting=("other/job",))
    world.reconcile()
    world.end(placed, 13)
    world.line = Line(ahead=("other/job",), waiting=("other/job",))
    world.settle()
    assert train_jobs(world) == ["chat-train-1"]
    attempts = world.job.status.attempts
    assert attempts is not None
    assert (attempts.failures, attempts.disruptions) == (0, 1)
