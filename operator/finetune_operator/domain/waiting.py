"""Why pods do not run yet, in the words of whoever holds them up, with what to do about it."""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from finetune_operator.api.reason import Reason
from finetune_operator.api.troubleshooting import ADVICE
from finetune_operator.domain import names
from finetune_operator.domain.observed import BatchJob, Child, Container, Notice, Observed, Pod

_KARPENTER_PREFIX = "Failed to schedule pod, "
_BACK_OFF = re.compile(r'^Back-off pulling image "[^"]*":\s*')
_MISSING_CLAIM = re.compile(r'persistentvolumeclaim "[^"]+" not found')


@dataclass(frozen=True, slots=True)
class Waiting:
    """What a job waits for."""

    reason: Reason
    message: str


def _advised(reason: Reason, said: str) -> Waiting:
    """The words of the scheduler or the kubelet, which know no FineTuneJob, and what to do."""
    return Waiting(reason, f"{said.rstrip('. ')}. {reason.remedy}".strip())


def explain(seen: Observed, job: BatchJob) -> Waiting | None:
    """Why the pods of a Job are not all running; None when nothing but time is missing."""
    pods = seen.pods_of(job.role, job.number)
    for pod in pods:
        if found := _of_pod(pod, seen):
            return found
    if job.suspended:
        return _of_queue(job, seen.notices)
    if len(pods) < job.parallelism:
        return _of_refused_pods(job.uid, seen.notices)
    return None


def explain_serving(
    pods: Iterable[Pod], replica_sets: Collection[str], notices: Sequence[Notice]
) -> Waiting | None:
    """Why serving pods do not run; None when nothing but time is missing.

    Args:
        replica_sets: uids of those that have not made all of their pods.
        notices: about the pods and the ReplicaSets.
    """
    seen = Observed(notices=tuple(notices))
    for pod in pods:
        if found := _of_pod(pod, seen):
            return found
    return next((found for uid in replica_sets if (found := _of_refused_pods(uid, notices))), None)


def _of_pod(pod: Pod, seen: Observed) -> Waiting | None:
    if pod.over or pod.deleted is not None:
        return None
    if pod.node in seen.lost_nodes:
        return Waiting(Reason.NODE_LOST, f"node {pod.node} of pod {pod.name} does not answer")
    if not pod.node:
        return _of_unscheduled(pod, seen)
    for container in pod.containers:
        if found := _of_container(container):
            return found
    if any(container.waiting_reason == "PodInitializing" for container in pod.containers) or not (
        pod.containers and any(container.running for container in pod.containers)
    ):
        return _of_mounts(pod, seen.notices)
    return None


def _of_unscheduled(pod: Pod, seen: Observed) -> Waiting | None:
    if not pod.unschedulable:
        return None
    if missing := _MISSING_CLAIM.search(pod.unschedulable):
        return Waiting(Reason.VOLUME_MISSING, f"{missing.group()}: create it, or fix storageUri")
    if "PersistentVolumeClaim" in pod.unschedulable and seen.volume_claim is not None:
        return _of_claim(seen.volume_claim, seen.notices, pod)
    if seen.provision.reason is not Reason.SCHEDULED:
        provision = seen.provision
        return _advised(provision.reason, f"pod {pod.name} has no node yet: {provision.message}")
    # Who could make a node knows better why it does not than who only looks through those there.
    said = next(
        (
            notice.message.removeprefix(_KARPENTER_PREFIX)
            for notice in seen.notices
            if (notice.about, notice.source) == (pod.uid, "karpenter")
            and notice.reason == "FailedScheduling"
        ),
        pod.unschedulable,
    )
    return _advised(Reason.UNSCHEDULABLE, f"no node can take pod {pod.name}: {said}")


def _of_claim(claim: Child, notices: Sequence[Notice], pod: Pod) -> Waiting:
    said = next((notice for notice in notices if notice.about == claim.uid), None)
    detail = said.message if said else pod.unschedulable
    return _advised(Reason.VOLUME_PENDING, f"volume claim {claim.name} has no volume: {detail}")


def _of_container(container: Container) -> Waiting | None:
    reason, message = container.waiting_reason, container.waiting_message
    if reason in ADVICE[Reason.IMAGE_PULL].signs:
        # One text for ErrImagePull and ImagePullBackOff, which take turns every few seconds.
        detail = _BACK_OFF.sub("", message)
        return _advised(Reason.IMAGE_PULL, f"cannot pull image {container.image}: {detail}")
    if reason in ADVICE[Reason.CONTAINER_CANNOT_START].signs:
        told = f"container {container.name}: {message}"
        if 'secret "' in message and "not found" in message:
            return _advised(Reason.SECRET_MISSING, told)
        return Waiting(Reason.CONTAINER_CANNOT_START, told)
    return None


def _of_mounts(pod: Pod, notices: Sequence[Notice]) -> Waiting | None:
    said = next(
        (
            notice
            for notice in notices
            if notice.about == pod.uid and notice.reason in ADVICE[Reason.VOLUME_PENDING].signs
        ),
        None,
    )
    if said is None:
        return None
    text = said.message.lower()
    missing = ("secret" in text or "references non-existent" in text) and (
        "not found" in text or "non-existent" in text
    )
    if missing:
        return _advised(Reason.SECRET_MISSING, f"pod {pod.name}: {said.message}")
    return Waiting(Reason.VOLUME_PENDING, f"pod {pod.name}: {said.message}")


def _of_queue(job: BatchJob, notices: Sequence[Notice]) -> Waiting:
    said = next(
        (each for each in notices if each.about == job.uid and each.reason == names.QUEUE), None
    )
    detail = said.message if said else "its queue has not admitted it"
    return Waiting(Reason.HELD_BY_QUEUE, f"Job {job.name} is suspended; {detail}")


def _of_refused_pods(maker: str, notices: Sequence[Notice]) -> Waiting | None:
    said = next(
        (notice for notice in notices if notice.about == maker and notice.reason == "FailedCreate"),
        None,
    )
    if said is None:
        return None
    if "exceeded quota" in said.message:
        return _advised(Reason.QUOTA_EXCEEDED, said.message)
    return Waiting(Reason.PODS_FORBIDDEN, said.message)
