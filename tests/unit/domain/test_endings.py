"""How a Job ended: from its pods, or from the rule that fired; the most telling pod decides."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from finetune_operator.api.reason import Reason
from finetune_operator.domain.endings import FAIL_JOB_ON, Ending, Outcome, classify
from finetune_operator.domain.names import Role
from finetune_operator.domain.observed import BatchJob, Container, Pod
from finetune_operator.domain.views import view_pod
from finetune_trainer.exit_codes import FREE, TERMINAL, ExitCode

NOW = datetime(2026, 11, 22, tzinfo=UTC)
SAID = '{"reason": "any", "message": "line 17 of train.jsonl is not JSON"}'


def batch_job(failure: str | None = None, *, complete: bool = False) -> BatchJob:
    return BatchJob("n", "j-train-1", "uid", Role.TRAIN, 1, complete=complete, failure=failure)


def pod(
    code: int | None = None,
    *,
    message: str = "",
    end_reason: str = "",
    ended: datetime | None = None,
    **more: Any,
) -> Pod:
    container = Container(
        "train", exit_code=code, message=message, end_reason=end_reason, ended=ended
    )
    phase = "Pending" if code is None else "Failed" if code else "Succeeded"
    fields = {"phase": phase, "containers": (container,)} | more
    return Pod("n", "p", "uid", Role.TRAIN, 1, **fields)


FROM_PODS = {
    "terminal code": ([pod(11, message=SAID)], Outcome.TERMINAL, Reason.DATA_ERROR),
    "preempted": ([pod(13)], Outcome.DISRUPTED, Reason.PREEMPTED),
    "superseded": ([pod(15)], Outcome.DISRUPTED, Reason.SUPERSEDED),
    "unavailable": ([pod(17)], Outcome.UNAVAILABLE, Reason.UNAVAILABLE),
    "unknown code": ([pod(1)], Outcome.FAILED, Reason.TRAINER_FAILED),
    "killed from outside": ([pod(137)], Outcome.FAILED, Reason.TRAINER_FAILED),
    "memory limit": (
        [pod(137, end_reason="OOMKilled")],
        Outcome.TERMINAL,
        Reason.OUT_OF_MEMORY,
    ),
    "evicted before it could save": (
        [pod(137, disruption="EvictionByEvictionAPI")],
        Outcome.EVICTED,
        Reason.DISRUPTED,
    ),
    "evicted, but broken anyway": (
        [pod(10, message=SAID, disruption="EvictionByEvictionAPI")],
        Outcome.TERMINAL,
        Reason.CONFIGURATION_ERROR,
    ),
    "deleted and killed after its grace": (
        [pod(137, deleted=NOW)],
        Outcome.DISRUPTED,
        Reason.DISRUPTED,
    ),
    "killed by its deletion, to the second": (
        [pod(137, ended=NOW, deleted=NOW)],
        Outcome.DISRUPTED,
        Reason.DISRUPTED,
    ),
    "killed before its Job failed and deleted it": (
        [pod(16), pod(137, ended=NOW - timedelta(seconds=1), deleted=NOW)],
        Outcome.FAILED,
        Reason.TRAINER_FAILED,
    ),
    "gone without a word": ([pod(phase="Failed")], Outcome.DISRUPTED, Reason.DISRUPTED),
    "a peer's error, not that it was missed": (
        [pod(16), pod(14, message=SAID)],
        Outcome.TERMINAL,
        Reason.DIVERGED,
    ),
    "a peer killed, the rest told to leave": (
        [pod(13, deleted=NOW), pod(137)],
        Outcome.FAILED,
        Reason.TRAINER_FAILED,
    ),
    "a peer evicted, and the crash that followed": (
        [pod(1), pod(13, disruption="DeletionByTaintManager")],
        Outcome.EVICTED,
        Reason.DISRUPTED,
    ),
    "only a peer lost": ([pod(16)], Outcome.PEER_LOST, Reason.PEER_LOST),
}


@pytest.mark.parametrize(("pods", "outcome", "reason"), FROM_PODS.values(), ids=FROM_PODS)
def test_from_pods(pods: list[Pod], outcome: Outcome, reason: Reason) -> None:
    ending = classify(batch_job("any"), pods)
    assert (ending.outcome, ending.reason) == (outcome, reason)


def test_the_trainers_own_words_reach_the_user() -> None:
    assert classify(batch_job("any"), [pod(11, message=SAID)]).message == (
        "line 17 of train.jsonl is not JSON"
    )
    assert "Traceback" in classify(batch_job("any"), [pod(1, message="Traceback …")]).message


def test_out_of_memory_says_what_to_lower() -> None:
    said = classify(batch_job("any"), [pod(137, end_reason="OOMKilled")]).message
    assert "training.maxLength" in said
    assert "resources.limits.memory" in said


@pytest.mark.parametrize("code", FAIL_JOB_ON)
def test_from_the_rule_when_the_pods_are_gone(code: ExitCode) -> None:
    rule = FAIL_JOB_ON.index(code) + 1
    said = f"Container train failed with exit code {code} matching FailJob rule at index {rule}"
    ending = classify(batch_job(said), [])
    assert ending.reason == code.reason
    assert (ending.outcome is Outcome.TERMINAL) == (code in TERMINAL)
    assert ending.free == (code in FREE or code is ExitCode.PEER_LOST)


OTHERS = {
    "disruption rule": (
        batch_job("Pod n/p has condition DisruptionTarget matching FailJob rule at index 0"),
        Ending(
            Outcome.EVICTED,
            Reason.DISRUPTED,
            "Pod n/p has condition DisruptionTarget matching FailJob rule at index 0",
        ),
    ),
    "no rule": (
        batch_job("Job has reached the specified backoff limit"),
        Ending(
            Outcome.FAILED, Reason.TRAINER_FAILED, "Job has reached the specified backoff limit"
        ),
    ),
    "complete": (batch_job(complete=True), Ending(Outcome.SUCCEEDED, Reason.FINISHED, "")),
    "deleted": (None, Ending(Outcome.DISRUPTED, Reason.DISRUPTED, "its Job was deleted")),
}


@pytest.mark.parametrize(("found", "ending"), OTHERS.values(), ids=OTHERS)
def test_without_pods(found: BatchJob | None, ending: Ending) -> None:
    assert classify(found, []) == ending


RECORDED = {
    "cgroup v2: the kubelet saw the kill": (
        {
            "phase": "Failed",
            "containerStatuses": [
                {
                    "name": "train",
                    "image": "i",
                    "state": {"terminated": {"exitCode": 137, "reason": "OOMKilled", "signal": 9}},
                }
            ],
        },
        Reason.OUT_OF_MEMORY,
    ),
    "cgroup v1: a child was killed, and the launcher says so": (
        {
            "phase": "Failed",
            "containerStatuses": [
                {
                    "name": "train",
                    "image": "i",
                    "state": {
                        "terminated": {
                            "exitCode": 12,
                            "reason": "Error",
                            "message": '{"reason":"OutOfMemory","message":"lower maxLength"}',
                        }
                    },
                }
            ],
        },
        Reason.OUT_OF_MEMORY,
    ),
    "evicted by the kubelet for memory of the node": (
        {
            "phase": "Failed",
            "reason": "Evicted",
            "message": "The node was low on resource: memory.",
            "conditions": [
                {"type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet"}
            ],
        },
        Reason.DISRUPTED,
    ),
}


@pytest.mark.parametrize(("status", "reason"), RECORDED.values(), ids=RECORDED)
def test_recorded_statuses(status: dict[str, Any], reason: Reason) -> None:
    found = view_pod(
        {
            "metadata": {
                "name": "p",
                "namespace": "n",
                "uid": "u",
                "labels": {"finetune.dev/role": "train", "finetune.dev/attempt": "1"},
            },
            "spec": {"nodeName": "node"},
            "status": status,
        }
    )
    assert found is not None
    assert classify(batch_job("any"), [found]).reason == reason


def test_a_pod_that_its_failed_job_deleted_is_judged_by_when_it_was_killed() -> None:
    killed = {"exitCode": 137, "reason": "Error", "finishedAt": "2026-11-22T00:00:03Z"}
    manifest = {
        "metadata": {
            "namespace": "n",
            "name": "p",
            "uid": "uid",
            "labels": {"finetune.dev/role": "train", "finetune.dev/attempt": "1"},
            "deletionTimestamp": "2026-11-22T00:02:05Z",
            "deletionGracePeriodSeconds": 120,
        },
        "spec": {},
        "status": {
            "phase": "Failed",
            "containerStatuses": [{"name": "train", "state": {"terminated": killed}}],
        },
    }
    found = view_pod(manifest)
    assert found is not None
    assert classify(batch_job("any"), [found]).outcome is Outcome.FAILED
