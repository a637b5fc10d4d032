"""Held: a queue such as Kueue decides when a Job of ours runs, and may stop it again.

It owns the Job's spec.suspend from the moment the Job is made: this operator never writes it.
"""

from finetune_operator.api.conditions import ConditionType
from finetune_operator.api.reason import Reason
from finetune_operator.domain import conditions, names
from finetune_operator.domain.lifecycle.work import WATCHED_SECONDS, Work
from finetune_operator.domain.observed import BatchJob
from finetune_operator.domain.waiting import explain

HELD_SECONDS = 60.0
"""How often to look what the queue says of a Job that it holds. That it runs the Job is seen at
once, and a thousand that wait must not ask all the time."""


def watched_seconds(work: Work, job: BatchJob) -> float:
    """When to look again at a Job whose pods do not all run; soon while its queue is silent."""
    said = any(each.about == job.uid and each.reason == names.QUEUE for each in work.seen.notices)
    return HELD_SECONDS if job.suspended and said else WATCHED_SECONDS


def is_held(work: Work, job: BatchJob) -> bool:
    """Whether a queue holds the Job; the condition Admitted says so, and when it does no longer."""
    if job.suspended:
        work.stop_clock()
        found = explain(work.seen, job)
        work.set(
            ConditionType.ADMITTED, False, Reason.HELD_BY_QUEUE, found.message if found else ""
        )
        return True
    before = conditions.find(work.status.conditions, ConditionType.ADMITTED)
    if before is not None and before.reason == Reason.HELD_BY_QUEUE:
        work.set(ConditionType.ADMITTED, True, Reason.ADMITTED)
        work.event(Reason.ADMITTED, f"its queue has admitted Job {job.name}")
    return False
