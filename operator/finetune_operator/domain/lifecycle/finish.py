"""Finish: say that the job has succeeded; later remove what it used, never the job itself."""

from datetime import datetime, timedelta

from finetune_operator.api.conditions import ConditionType
from finetune_operator.api.fine_tune_job_status import Phase
from finetune_operator.api.reason import Reason
from finetune_operator.domain import conditions
from finetune_operator.domain.actions import Delete
from finetune_operator.domain.kinds import CONFIG_MAP, SERVICE, VOLUME_CLAIM
from finetune_operator.domain.lifecycle.work import Work


def succeed(work: Work) -> bool:
    """The end of a job that has everything asked for."""
    work.set(ConditionType.SUCCEEDED, True, Reason.SUCCEEDED)
    work.rests(Phase.SUCCEEDED, Reason.FINISHED)
    work.event(Reason.SUCCEEDED, "")
    work.again(0)
    return True


def clean_up(work: Work) -> bool:
    """Done while the job is not over. Afterwards nothing but this ever happens to it."""
    if not work.over:
        return True
    work.actions += [job.delete() for job in work.seen.batch_jobs if not job.over]
    after = work.spec.cleanup_after_seconds
    if after is not None:
        left = (_ended(work) + timedelta(seconds=after) - work.now).total_seconds()
        if left > 0:
            work.again(left)
        else:
            _remove_children(work)
    return False


def _ended(work: Work) -> datetime:
    return max(
        condition.last_transition_time
        for kind in (ConditionType.SUCCEEDED, ConditionType.FAILED)
        if (condition := conditions.find(work.status.conditions, kind)) is not None
    )


def _remove_children(work: Work) -> None:
    seen, namespace = work.seen, work.job.metadata.namespace
    work.actions += [job.delete() for job in seen.batch_jobs if job.over and not job.deleting]
    for kind, child in (
        (CONFIG_MAP, seen.recipe),
        (SERVICE, seen.service),
        (VOLUME_CLAIM, seen.volume_claim),
    ):
        if child is not None:
            work.actions.append(Delete(kind, namespace, child.name, child.uid))
