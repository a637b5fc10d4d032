"""A queue such as Kueue decides when the Jobs run, and may stop them again."""

from __future__ import annotations

from datetime import timedelta

import pytest

from finetune_operator.api.conditions import ConditionType
from finetune_operator.api.fine_tune_job import FineTuneJob
from finetune_operator.api.fine_tune_job_status import Phase
from finetune_operator.api.reason import Reason
from finetune_operator.domain import names
from finetune_operator.domain.observed import Notice
from finetune_operator.domain.views import view_workload
from tests.unit.domain.in_memory import InMemory, Object, job
from tests.unit.domain.lifecycle.looks import condition, phase, report, train_jobs

QUEUE = {names.QUEUE: "research", "kueue.x-k8s.io/priority-class": "urgent", "team": "support"}


def labelled() -> FineTuneJob:
    stored = job(compute={"device": "CPU", "podTemplate": {"priorityClassName": "batch"}}).to_dict()
    stored["metadata"]["labels"] = QUEUE
    return FineTuneJob.from_stored(stored)


@pytest.fixture
def world() -> InMemory:
    made = InMemory(labelled())
    made.queued = True
    return made


def to_training(world: InMemory) -> Object:
    """Until the queue has admitted an attempt and its pod runs."""
    for _ in range(10):
        world.settle()
        world.admit()
        world.make_pods()
        for pod in world.pods():
            world.run(pod)
            if pod["metadata"]["labels"][names.ROLE] == "train":
                world.settle()
                return pod
            world.end(pod)
    raise AssertionError(f"never trained: {world.job.status}")


def workload(*conditions: Object) -> Object:
    return {
        "metadata": {"name": "job-chat", "ownerReferences": [{"uid": "uid-1"}]},
        "spec": {"queueName": "research"},
        "status": {"conditions": list(conditions)},
    }


def test_a_job_says_what_its_queue_waits_for_and_when_it_runs(world: InMemory) -> None:
    world.settle()
    held = world.objects["Job", "chat-prepare-1"]
    lacking = "insufficient unused quota for cpu in flavor default, 1 more needed"
    world.notices = (Notice(held["metadata"]["uid"], names.QUEUE, f"queue research: {lacking}"),)
    world.settle()
    assert phase(world) is Phase.QUEUED
    status, reason, message = condition(world, ConditionType.ADMITTED)
    assert (status, reason) == ("False", Reason.HELD_BY_QUEUE)
    assert message.endswith(f"queue research: {lacking}")
    assert world.decide().requeue_after == 60, "a thousand that wait must not ask all the time"
    world.notices = ()
    assert world.decide().requeue_after == 10, "the queue has said nothing yet"
    world.admit()
    world.settle()
    assert condition(world, ConditionType.ADMITTED)[:2] == ("True", Reason.ADMITTED)
    assert phase(world) is Phase.PREPARING


def test_preemption_is_not_counted_and_the_job_goes_on_when_it_is_readmitted(
    world: InMemory,
) -> None:
    pod = to_training(world)
    assert condition(world, ConditionType.ADMITTED)[:2] == ("True", Reason.ADMITTED)
    assert phase(world) is Phase.TRAINING
    world.now += timedelta(minutes=5)
    world.progress = report(420)
    world.settle()
    world.preempt("chat-train-1")
    world.progress = None
    world.settle()
    assert phase(world) is Phase.QUEUED
    shown = world.job.status.progress
    assert shown is not None
    assert (shown.step, shown.remaining) == (420, None), "nobody can say how long it will take"
    assert condition(world, ConditionType.ADMITTED)[:2] == ("False", Reason.HELD_BY_QUEUE)
    assert train_jobs(world) == ["chat-train-1"], "its pod is still saving a checkpoint"
    world.end(pod, 13, '{"reason": "Preempted", "message": "saved a checkpoint", "step": 50}')
    world.settle()
    assert train_jobs(world) == ["chat-train-1", "chat-train-2"]
    assert phase(world) is Phase.QUEUED
    world.settle()
    assert condition(world, ConditionType.ADMITTED)[:2] == ("False", Reason.HELD_BY_QUEUE)
    world.finish_well()
    assert phase(world) is Phase.SUCCEEDED
    attempts = world.job.status.attempts
    assert attempts is not None
    assert (attempts.current, attempts.failures, attempts.disruptions) == (2, 0, 1)


def test_a_job_whose_pod_is_gone_before_its_end_is_seen_goes_on_as_the_same_attempt(
    world: InMemory,
) -> None:
    """As the Job controller does it: of a Job that is suspended it lets the pods go uncounted."""
    pod = to_training(world)
    world.preempt("chat-train-1")
    world.settle()
    world.objects.pop(("Pod", pod["metadata"]["name"]))
    world.settle()
    assert condition(world, ConditionType.ADMITTED)[1] == Reason.HELD_BY_QUEUE
    assert phase(world) is Phase.QUEUED
    world.admit()
    world.make_pods()
    world.settle()
    assert condition(world, ConditionType.ADMITTED)[:2] == ("True", Reason.ADMITTED)
    world.finish_well()
    assert phase(world) is Phase.SUCCEEDED
    assert train_jobs(world) == ["chat-train-1"]


def test_a_job_that_was_admitted_and_has_ended_unseen_is_not_said_to_be_held(
    world: InMemory,
) -> None:
    world.finish_well()
    assert phase(world) is Phase.SUCCEEDED
    assert condition(world, ConditionType.ADMITTED)[:2] == ("True", Reason.ADMITTED)


@pytest.mark.parametrize("code", [1, 137, 143])
def test_however_a_preempted_pod_ends_it_is_no_failure(world: InMemory, code: int) -> None:
    pod = to_training(world)
    world.preempt("chat-train-1")
    world.end(pod, code)
    world.settle()
    attempts = world.job.status.attempts
    assert attempts is not None
    assert (attempts.failures, attempts.disruptions) == (0, 1)


def test_kueues_labels_and_the_priority_class_reach_the_job_and_its_pods(world: InMemory) -> None:
    to_training(world)
    made = world.objects["Job", "chat-train-1"]
    template = made["spec"]["template"]
    for labels in (made["metadata"]["labels"], template["metadata"]["labels"]):
        assert {name: labels.get(name) for name in QUEUE} == {**QUEUE, "team": None}
    assert template["spec"]["priorityClassName"] == "batch"


def test_suspend_belongs_to_the_queue() -> None:
    world = InMemory(labelled())
    to_training(world)
    assert all("suspend" not in made["spec"] or made["spec"]["suspend"] is False
               for made in world.all("Job"))  # fmt: skip


@pytest.mark.parametrize(
    ("conditions", "said"),
    [
        ((), None),
        (({"type": "QuotaReserved", "status": "True", "message": "reserved"},), None),
        (
            ({"type": "QuotaReserved", "status": "False", "message": "no quota"},),
            "queue research: no quota",
        ),
        (
            (
                {"type": "Admitted", "status": "False", "message": "checks are not ready"},
                {"type": "QuotaReserved", "status": "True", "message": "reserved"},
            ),
            "queue research: checks are not ready",
        ),
        (
            (
                {"type": "Admitted", "status": "False", "message": "no reservation"},
                {"type": "QuotaReserved", "status": "False", "message": "no quota"},
            ),
            "queue research: no quota",
        ),
    ],
)
def test_what_kueue_says_of_a_job(conditions: tuple[Object, ...], said: str | None) -> None:
    found = view_workload(workload(*conditions))
    assert (found.message if found else None) == said
    assert found is None or found.about == "uid-1"
