"""Counting attempts: each is numbered, and each is counted once when it has ended.

An attempt is under way from the moment its Job exists until its end is counted in the status.
So `failures + disruptions` is the number of the last attempt that is settled, and nothing has to
be remembered between two calls.
"""

from datetime import datetime, timedelta

from finetune_operator.api.conditions import ConditionType
from finetune_operator.api.fine_tune_job_status import Ended, Phase
from finetune_operator.api.reason import Reason
from finetune_operator.domain import conditions
from finetune_operator.domain.endings import Ending, Outcome
from finetune_operator.domain.lifecycle.retried import back_off
from finetune_operator.domain.lifecycle.work import WATCHED_SECONDS, Work
from finetune_operator.domain.names import Role
from finetune_operator.domain.observed import BatchJob, Pod

OVERDUE_SECONDS = 30
"""How long a pod of a node that does not answer may be terminating. Its grace is not waited for:
nobody has told its containers to use it."""

FREE_DISRUPTIONS = 10
RATE_SECONDS = 3600
"""So many within so long cost nothing. Nodes that go faster than that are no place to train."""

SHORT_LIFE_SECONDS = 60
FREE_PAUSE_SECONDS = 10.0
"""Pause after an attempt that was disrupted within SHORT_LIFE_SECONDS: something keeps doing so."""


def newest(work: Work) -> int:
    """The number of the last attempt that was ever started; 0 if there was none.

    A Job may be newer than the status: the operator may have died between writing the two.
    """
    numbers = [work.attempts.current]
    numbers += [job.number for job in work.seen.jobs_of(Role.TRAIN)]
    numbers += [pod.number for pod in work.seen.pods_of(Role.TRAIN)]
    return max(numbers)


def under_way(work: Work) -> int | None:
    """The number of the attempt whose end is not counted yet, if there is one."""
    number = newest(work)
    return number if number > work.attempts.failures + work.attempts.disruptions else None


def job_of(work: Work, number: int) -> BatchJob | None:
    """The Job of an attempt, unless it is gone or going."""
    jobs = work.seen.jobs_of(Role.TRAIN)
    return next((job for job in jobs if job.number == number and not job.deleting), None)


def clear(work: Work, pods: list[Pod], reason: str) -> bool:
    """Whether no container of an ended attempt can still write; helps it along if it may not.

    A pod on a node that does not answer never ends by itself. It is removed by force, together
    with its Job, whose finalizer would keep it. Should its container still run somewhere, the
    fence on the volume keeps it from writing.
    """
    left = [pod for pod in pods if not pod.over]
    if not left:
        return True
    overdue = timedelta(seconds=OVERDUE_SECONDS)
    for pod in left:
        late = pod.deleted is not None and work.now > pod.deleted + overdue
        if late and pod.node in work.seen.lost_nodes:
            job = job_of(work, pod.number)
            work.actions += [pod.delete(force=True), *([job.delete()] if job else [])]
    nodes = ", ".join(sorted({pod.node for pod in left if pod.node in work.seen.lost_nodes}))
    if nodes:
        work.goes_on(Phase.QUEUED, Reason.NODE_LOST, f"{reason}; node {nodes} does not answer")
    else:
        work.goes_on(Phase.QUEUED, Reason.PENDING, f"{reason}; its pods are ending")
    work.again(WATCHED_SECONDS)
    return False


def settle(work: Work, number: int, ending: Ending) -> None:
    """Counts the end of an attempt, and says what follows."""
    counted = work.attempts
    work.stop_clock()
    recent, ending = _at_what_rate(work, ending)
    last = Ended(
        number=number,
        reason=ending.reason.value,
        message=ending.message[:1024],
        log=work.seen.last_lines[-4096:],
        time=work.now,
    )
    failures = counted.failures + (0 if ending.free else 1)
    # Attempts that nobody saw end (a status restored from a backup) count as disruptions.
    disruptions = max(counted.disruptions + (1 if ending.free else 0), number - failures)
    work.update(
        attempts=counted.model_copy(
            update={
                "current": number,
                "nodes": None,
                "failures": failures,
                "disruptions": disruptions,
                "recent_disruptions": recent or None,
                "last": last,
            }
        )
    )
    work.set(ConditionType.ADMITTED, False, ending.reason, f"attempt {number}: {ending.message}")
    work.set(ConditionType.NODES_READY, False, Reason.PENDING)
    limit = work.spec.restarts.limit
    if ending.outcome is Outcome.TERMINAL:
        work.fail(ending.reason, ending.message)
    elif failures > limit:
        work.fail(
            Reason.RESTART_LIMIT_REACHED,
            f"{failures} attempts failed (restarts.limit is {limit}), the last one so:"
            f" {ending.message}",
        )
    else:
        message = f"attempt {number} ended: {ending.message}"
        work.event(ending.reason, message, warning=not ending.free)
        work.goes_on(Phase.QUEUED, ending.reason, message)
        work.again(0)


def _at_what_rate(work: Work, ending: Ending) -> tuple[tuple[datetime, ...], Ending]:
    """The latest disruptions with this one, and what it counts as among so many. What a person or a
    queue does on purpose is none of them."""
    recent = [
        each
        for each in work.attempts.recent_disruptions or ()
        if work.now - each < timedelta(seconds=RATE_SECONDS)
    ]
    if ending.reason is not Reason.DISRUPTED:
        return tuple(recent), ending
    recent = [*recent, work.now][-16:]
    if len(recent) > FREE_DISRUPTIONS:
        message = (
            f"the {len(recent)}th disruption within an hour, of which {FREE_DISRUPTIONS} are free:"
            f" {ending.message}"
        )
        ending = Ending(Outcome.FAILED, Reason.DISRUPTED, message)
    return tuple(recent), ending


def pause_left(work: Work) -> float:
    """Seconds that the next attempt has to wait after the end of the one before it."""
    if newest(work) == 0:
        return 0.0
    admitted = conditions.find(work.status.conditions, ConditionType.ADMITTED)
    if admitted is None or admitted.status == "True":
        return 0.0
    ended = admitted.last_transition_time
    return max(0.0, (ended - work.now).total_seconds() + _pause(work, admitted.reason))


def _pause(work: Work, reason: str) -> float:
    if reason in (
        Reason.WAITING_FOR_TURN,
        Reason.SUSPENDED,
        Reason.BUDGET_EXCEEDED,
        Reason.HELD_BY_QUEUE,
        Reason.FEWER_NODES,
    ):
        return 0.0
    if reason in (Reason.DISRUPTED, Reason.PREEMPTED, Reason.SUPERSEDED, Reason.PEER_LOST):
        return FREE_PAUSE_SECONDS if _was_short(work) else 0.0
    return back_off(max(1, work.attempts.failures))


def _was_short(work: Work) -> bool:
    """Whether the last attempt lasted less than a minute, as far as that is still known."""
    job = job_of(work, newest(work))
    if job is None or job.created is None or job.ended is None:
        return False
    return job.ended - job.created < timedelta(seconds=SHORT_LIFE_SECONDS)
