"""Why pods wait, from what the scheduler, the kubelet and the controllers say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from finetune_operator.api.reason import Reason
from finetune_operator.domain import names
from finetune_operator.domain.names import Role
from finetune_operator.domain.observed import BatchJob, Child, Container, Notice, Observed, Pod
from finetune_operator.domain.provisioning import Provision
from finetune_operator.domain.waiting import explain

JOB = BatchJob("n", "chat-train-1", "uid-job", Role.TRAIN, 1)
CLAIM = Child("chat", "uid-claim", phase="Pending")


def pod(**fields: Any) -> Pod:
    return Pod("n", "p", "uid-pod", Role.TRAIN, 1, **fields)


def starting(**fields: Any) -> Pod:
    return pod(node="first", containers=(Container("train", image="i", **fields),))


CASES = {
    "no node": (
        Observed(pods=(pod(unschedulable="0/3 nodes are available: 3 Insufficient cpu."),)),
        Reason.UNSCHEDULABLE,
        "3 Insufficient cpu",
    ),
    "Karpenter knows better than the scheduler": (
        Observed(
            pods=(pod(unschedulable="0/3 nodes are available: 3 Insufficient cpu."),),
            notices=(
                Notice("uid-pod", "FailedScheduling", "0/3 nodes", "default-scheduler"),
                Notice(
                    "uid-pod",
                    "FailedScheduling",
                    "Failed to schedule pod, key topology.kubernetes.io/zone In [mars] not in [b]",
                    "karpenter",
                ),
            ),
        ),
        Reason.UNSCHEDULABLE,
        "no node can take pod p: key topology.kubernetes.io/zone In [mars] not in [b]. Lower",
    ),
    "its node is being made": (
        Observed(
            pods=(pod(unschedulable="0/3 nodes are available: 3 Insufficient cpu."),),
            provision=Provision(True, False, Reason.PROVISIONING, "NodeClaim a is being made"),
        ),
        Reason.PROVISIONING,
        "pod p has no node yet: NodeClaim a is being made.",
    ),
    "a source's claim is missing": (
        Observed(pods=(pod(unschedulable='persistentvolumeclaim "data" not found'),)),
        Reason.VOLUME_MISSING,
        '"data" not found: create it, or fix storageUri',
    ),
    "the volume cannot be made": (
        Observed(
            pods=(pod(unschedulable="pod has unbound immediate PersistentVolumeClaims"),),
            volume_claim=CLAIM,
            notices=(Notice("uid-claim", "ProvisioningFailed", 'storageclass "fast" not found'),),
        ),
        Reason.VOLUME_PENDING,
        'volume claim chat has no volume: storageclass "fast" not found',
    ),
    "the image cannot be pulled": (
        Observed(
            pods=(
                starting(
                    waiting_reason="ImagePullBackOff",
                    waiting_message='Back-off pulling image "i": ErrImagePull: not found',
                ),
            )
        ),
        Reason.IMAGE_PULL,
        "cannot pull image i: ErrImagePull: not found",
    ),
    "a secret's key is missing": (
        Observed(
            pods=(
                starting(
                    waiting_reason="CreateContainerConfigError",
                    waiting_message='secret "hf-token" not found',
                ),
            )
        ),
        Reason.SECRET_MISSING,
        'secret "hf-token" not found',
    ),
    "a secret to mount is missing": (
        Observed(
            pods=(starting(waiting_reason="ContainerCreating"),),
            notices=(
                Notice(
                    "uid-pod",
                    "FailedMount",
                    'MountVolume.SetUp failed for volume "c": secret "push" not found',
                ),
            ),
        ),
        Reason.SECRET_MISSING,
        'secret "push" not found',
    ),
    "quota": (
        Observed(
            notices=(Notice("uid-job", "FailedCreate", 'pods "x" is forbidden: exceeded quota: q'),)
        ),
        Reason.QUOTA_EXCEEDED,
        "exceeded quota: q",
    ),
    "a policy refuses the pods": (
        Observed(notices=(Notice("uid-job", "FailedCreate", "violates PodSecurity"),)),
        Reason.PODS_FORBIDDEN,
        "violates PodSecurity",
    ),
    "its node does not answer": (
        Observed(pods=(pod(node="second", phase="Running"),), lost_nodes=frozenset({"second"})),
        Reason.NODE_LOST,
        "node second of pod p does not answer",
    ),
}


@pytest.mark.parametrize(("seen", "reason", "said"), CASES.values(), ids=CASES)
def test_waiting_is_explained(seen: Observed, reason: Reason, said: str) -> None:
    found = explain(seen, JOB)
    assert found is not None
    assert found.reason is reason
    assert said in found.message


@pytest.mark.parametrize(
    ("notices", "said"),
    [
        ((), "Job chat-train-1 is suspended; its queue has not admitted it"),
        (
            (Notice("uid-job", names.QUEUE, "queue research: insufficient unused quota for cpu"),),
            "Job chat-train-1 is suspended; queue research: insufficient unused quota for cpu",
        ),
    ],
)
def test_a_job_that_a_queue_holds_is_explained_in_its_words(
    notices: tuple[Notice, ...], said: str
) -> None:
    found = explain(Observed(notices=notices), replace(JOB, suspended=True))
    assert found is not None
    assert (found.reason, found.message) == (Reason.HELD_BY_QUEUE, said)


def test_taking_turns_between_pull_and_back_off_changes_nothing() -> None:
    """Else the status would be written every few seconds."""
    texts = {
        explain(Observed(pods=(starting(waiting_reason=reason, waiting_message=message),)), JOB)
        for reason, message in (
            ("ErrImagePull", "not found"),
            ("ImagePullBackOff", 'Back-off pulling image "i": not found'),
        )
    }
    assert len(texts) == 1


@pytest.mark.parametrize(
    "seen",
    [
        Observed(
            pods=(pod(node="first", phase="Running", containers=(Container("t", running=True),)),)
        ),
        Observed(pods=(starting(waiting_reason="ContainerCreating"),)),
        Observed(),
    ],
    ids=["running", "creating", "no pod yet"],
)
def test_nothing_to_explain(seen: Observed) -> None:
    assert explain(seen, JOB) is None
