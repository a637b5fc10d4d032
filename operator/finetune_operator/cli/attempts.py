"""The attempts of a job, each with how it ended, from whatever still knows of it."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from finetune_operator.api.conditions import Condition, ConditionType
from finetune_operator.api.fine_tune_job_status import FineTuneJobStatus
from finetune_operator.api.reason import Reason
from finetune_operator.cli.happenings import Happening
from finetune_operator.domain.conditions import find
from finetune_operator.domain.endings import classify
from finetune_operator.domain.names import Role
from finetune_operator.domain.observed import BatchJob, Pod

FREE = frozenset(
    {
        Reason.PREEMPTED,
        Reason.DISRUPTED,
        Reason.SUPERSEDED,
        Reason.PEER_LOST,
        Reason.FEWER_NODES,
    }
)
"""Ends that are not counted against restarts.limit."""

_ENDED = re.compile(r"attempt (\d+)(?: ended)?: (.*)", re.DOTALL)
"""As domain/lifecycle/attempts.py words it, in events and in the condition Admitted."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """What is known of one attempt."""

    number: int
    began: datetime | None
    ended: datetime | None
    """None also where nobody knows when."""
    end: str
    """How it ended, or that it runs."""


def attempts(
    status: FineTuneJobStatus,
    batch_jobs: Iterable[BatchJob],
    pods: Sequence[Pod],
    happenings: Iterable[Happening],
) -> Iterator[Attempt]:
    """Those that something is known of, the first one first.

    The events say it best, but are kept for an hour only; the condition Admitted knows the end of
    the last one; of the last two the pods are there.
    """
    jobs = {job.number: job for job in batch_jobs if job.role is Role.TRAIN}
    own = [pod for pod in pods if pod.role is Role.TRAIN]
    told = dict(_told(find(status.conditions, ConditionType.ADMITTED), happenings))
    for number in sorted({*jobs, *(pod.number for pod in own), *told}):
        job = jobs.get(number)
        yield Attempt(
            number,
            began=job.created if job else None,
            ended=job.ended if job else None,
            end=told.get(number) or _seen(job, [pod for pod in own if pod.number == number]),
        )


def _told(admitted: Condition | None, happenings: Iterable[Happening]) -> Iterator[tuple[int, str]]:
    said = [(each.reason, each.message) for each in happenings if each.about_job]
    said += [(admitted.reason, admitted.message)] if admitted else []
    for reason, message in said:
        if found := _ENDED.fullmatch(message):
            yield int(found[1]), _end(reason, found[2])


def _end(reason: str, message: str) -> str:
    free = " (free)" if reason in FREE else ""
    return f"{reason}{free}: {message}"


def _seen(job: BatchJob | None, pods: Sequence[Pod]) -> str:
    if job is not None and job.complete:
        return "completed the training"
    if job is not None and not job.over:
        running = [pod for pod in pods if any(each.running for each in pod.containers)]
        return "runs" if len(running) == job.parallelism else "is starting"
    ending = classify(job, pods)
    return _end(ending.reason, ending.message)
