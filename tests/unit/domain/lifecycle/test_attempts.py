"""How an attempt ends, and whether another one follows."""

from __future__ import annotations

from datetime import timedelta

import pytest

from finetune_operator.api.conditions import ConditionType
from finetune_operator.api.fine_tune_job_status import Phase
from finetune_operator.api.reason import Reason
from tests.unit.domain.in_memory import InMemory, job
from tests.unit.domain.lifecycle.looks import condition, edit, phase, train_jobs


def test_a_terminal_error_ends_the_job_at_once_with_the_trainers_words() -> None:
    world = InMemory()
    world.settle()
    world.make_pods()
    [pod] = world.pods()
    world.run(pod)
    world.end(pod, 11, '{"reason": "DataError", "message": "line 17 of train.jsonl: not JSON"}')
    world.settle()
    assert phase(world) is Phase.FAILED
    for kind in (ConditionType.FAILED, ConditionType.STALLED):
        assert condition(world, kind) == (
            "True",
            Reason.DATA_ERROR,
            "line 17 of train.jsonl: not JSON",
        )
    assert train_jobs(world) == []


def test_failures_are_counted_and_bounded() -> None:
    world = InMemory(job(restarts={"limit": 2}))
    for _ in range(3):
        world.end(world.to_training(), 1, "RuntimeError")
        world.settle()
        world.now += timedelta(minutes=10)
    assert phase(world) is Phase.FAILED
    assert condition(world, ConditionType.FAILED)[1] == Reason.RESTART_LIMIT_REACHED
    assert "RuntimeError" in condition(world, ConditionType.FAILED)[2]
    assert train_jobs(world) == ["chat-train-1", "chat-train-2", "chat-train-3"]


@pytest.mark.parametrize("how", ["preempted", "evicted", "deleted", "job deleted"])
def test_disruptions_are_free(how: str) -> None:
    world = InMemory(job(restarts={"limit": 0}))
    for _ in range(3):
        pod = world.to_training()
        if how == "evicted":
            world.evict(pod)
        elif how == "deleted":
            world.delete("Pod", pod["metadata"]["name"])
        elif how == "job deleted":
            world.delete("Job", world.all("Job")[-1]["metadata"]["name"])
        world.end(pod, 13)
        world.settle()
    attempts = world.job.status.attempts
    assert attempts is not None
    assert (attempts.failures, attempts.disruptions) == (0, 3)
    world.finish_well()
    assert phase(world) is Phase.SUCCEEDED


def test_no_attempt_starts_while_a_pod_of_the_last_may_still_write() -> None:
    world = InMemory()
    pod = world.to_training()
    world.delete("Job", "chat-train-1")
    world.settle()
    assert train_jobs(world) == ["chat-train-1"]
    world.now += timedelta(hours=1)
    world.settle()
    assert train_jobs(world) == ["chat-train-1"], "its node answers: the kubelet will end it"
    world.end(pod, 13)
    world.settle()
    assert train_jobs(world) == ["chat-train-1", "chat-train-2"]


def test_a_node_that_does_not_answer_is_not_waited_for_for_ever() -> None:
    world = InMemory()
    pod = world.to_training()
    world.evict(pod)
    world.lost_nodes = frozenset({"n"})
    world.settle()
    assert condition(world, ConditionType.RECONCILING)[1] == Reason.NODE_LOST
    assert train_jobs(world) == ["chat-train-1"]
    world.now += timedelta(seconds=31)
    world.settle()
    assert train_jobs(world) == ["chat-train-1", "chat-train-2"]
    attempts = world.job.status.attempts
    assert attempts is not None
    assert (attempts.failures, attempts.disruptions) == (0, 1)


def test_a_volume_that_was_taken_away_ends_the_job_and_its_pods() -> None:
    world = InMemory()
    world.to_training()
    world.objects.pop(("PersistentVolumeClaim", "chat"))
    world.settle()
    assert condition(world, ConditionType.FAILED)[1] == Reason.VOLUME_MISSING
    assert all("deletionTimestamp" in pod["metadata"] for pod in world.pods())


@pytest.mark.parametrize("model", ["HuggingFaceTB/SmolLM2-135M", "someone/unknown"])
def test_the_recipe_is_made_again_as_it_was(model: str) -> None:
    compute = {"podTemplate": {"resources": {"limits": {"memory": "4Gi"}}}}
    world = InMemory(job(model={"storageUri": f"hf://{model}"}, compute=compute))
    world.to_training()
    before = world.objects.pop(("ConfigMap", "chat-recipe"))
    edit(world, cleanupAfterSeconds=5)
    world.settle()
    assert world.objects["ConfigMap", "chat-recipe"]["data"] == before["data"]


def test_disruptions_are_free_up_to_a_rate() -> None:
    world = InMemory(job(restarts={"limit": 0}))
    for _ in range(10):
        pod = world.to_training()
        world.evict(pod)
        world.end(pod, 13)
        world.settle()
    attempts = world.job.status.attempts
    assert attempts is not None
    assert (attempts.failures, attempts.disruptions) == (0, 10)
    pod = world.to_training()
    world.evict(pod)
    world.end(pod, 13)
    world.settle()
    assert phase(world) is Phase.FAILED
    assert "the 11th disruption within an hour" in condition(world, ConditionType.FAILED)[2]


def test_disruptions_of_an_hour_ago_are_forgotten() -> None:
    world = InMemory(job(restarts={"limit": 0}))
    for _ in range(15):
        pod = world.to_training()
        world.now += timedelta(minutes=10)
        world.evict(pod)
        world.end(pod, 13)
        world.settle()
    attempts = world.job.status.attempts
    assert attempts is not None
    assert (attempts.failures, attempts.disruptions) == (0, 15)
    assert attempts.recent_disruptions is not None
    assert len(attempts.recent_disruptions) < 10
