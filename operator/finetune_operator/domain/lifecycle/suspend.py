"""Suspend: give the nodes back and keep what was learned; go on when asked to, or when there is
budget again."""

from finetune_operator.api.conditions import ConditionType
from finetune_operator.api.fine_tune_job_status import Phase
from finetune_operator.api.reason import Reason
from finetune_operator.domain.endings import Ending, classify
from finetune_operator.domain.lifecycle import attempts
from finetune_operator.domain.lifecycle.budget import over_budget
from finetune_operator.domain.lifecycle.train import record_trained
from finetune_operator.domain.lifecycle.work import WATCHED_SECONDS, Work
from finetune_operator.domain.names import Role
from finetune_operator.domain.observed import BatchJob, pods_gone


def suspend(work: Work) -> bool:
    """Done when the job is not to be suspended."""
    exceeded = None if work.spec.suspend else over_budget(work)
    if not work.spec.suspend and exceeded is None:
        return _go_on(work)
    running = [job for job in work.seen.batch_jobs if not job.over]
    work.actions += [job.delete() for job in running if not job.deleting]
    if running or not pods_gone(work.seen.pods):
        _wait_for_pods(work)
        return False
    number = attempts.under_way(work)
    if number is not None and not work.holds(ConditionType.TRAINED):
        job = attempts.job_of(work, number)
        if job is not None and job.complete:
            record_trained(work, number)
        else:
            attempts.settle(work, number, _ending(work, number, job))
            if work.over:
                return False
    _rest(work, exceeded)
    return False


def _go_on(work: Work) -> bool:
    if not work.holds(ConditionType.SUSPENDED):
        return True
    work.set(ConditionType.SUSPENDED, False, Reason.RESUMED)
    work.event(Reason.RESUMED, "")
    work.again(0)  # whether nodes are wanted was seen of a job at rest
    return False


def _rest(work: Work, exceeded: str | None) -> None:
    reason = Reason.SUSPENDED if exceeded is None else Reason.BUDGET_EXCEEDED
    work.set(ConditionType.ADMITTED, False, reason)
    if work.attempts.nodes is not None:
        # Whatever it was to start with, it asks for all nodes when it goes on.
        work.update(attempts=work.attempts.model_copy(update={"nodes": None}))
    news = work.set(ConditionType.SUSPENDED, True, reason, exceeded or "")
    if exceeded is not None:
        work.stalls(Phase.SUSPENDED, reason, exceeded)
    else:
        work.rests(Phase.SUSPENDED, reason)
        if news:
            work.event(reason, "")
    # Nodes are wanted until it is written down that the job rests.
    work.requeue_after = 0.0 if news else None


def _ending(work: Work, number: int, job: BatchJob | None) -> Ending:
    """An attempt may also have failed by itself just before; only its pods would tell."""
    ending = classify(job, work.seen.pods_of(Role.TRAIN, number))
    if job is None and ending.free:
        return Ending(ending.outcome, Reason.PREEMPTED, "suspended")
    return ending


def _wait_for_pods(work: Work) -> None:
    """The trainer saves a checkpoint on SIGTERM; that may take as long as the pods' grace."""
    message = "the pods are saving a checkpoint and ending"
    if attempts.clear(work, list(work.seen.pods), message):
        work.goes_on(work.status.phase or Phase.QUEUED, Reason.PREEMPTED, message)
    work.again(WATCHED_SECONDS)
