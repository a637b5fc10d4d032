"""Suspend: give the nodes back and keep what was learned; go on when asked to."""

from finetune_operator.api.conditions import ConditionType, Reason
from finetune_operator.api.fine_tune_job_status import Phase
from finetune_operator.domain.endings import Ending, classify
from finetune_operator.domain.lifecycle import attempts
from finetune_operator.domain.lifecycle.train import record_trained
from finetune_operator.domain.lifecycle.work import WATCHED_SECONDS, Work
from finetune_operator.domain.names import Role
from finetune_operator.domain.observed import BatchJob, pods_gone


def suspend(work: Work) -> bool:
    """Done when the job is not to be suspended."""
    if not work.spec.suspend:
        if work.holds(ConditionType.SUSPENDED):
            work.set(ConditionType.SUSPENDED, False, Reason.RESUMED)
            work.event(Reason.RESUMED, "")
        return True
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
    work.set(ConditionType.ADMITTED, False, Reason.SUSPENDED)
    if work.set(ConditionType.SUSPENDED, True, Reason.SUSPENDED):
        work.event(Reason.SUSPENDED, "")
    work.rests(Phase.SUSPENDED, Reason.SUSPENDED)
    work.requeue_after = None
    return False


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
