"""What a job says when the API server refuses to make one of its children."""

from finetune_operator.api.conditions import ConditionType
from finetune_operator.api.fine_tune_job import FineTuneJob
from finetune_operator.api.fine_tune_job_status import Phase
from finetune_operator.api.reason import Reason
from finetune_operator.domain.lifecycle.work import Decision, Surroundings, Work
from finetune_operator.domain.observed import Observed

AGAIN_SECONDS = 30.0


def refused(
    job: FineTuneJob, seen: Observed, around: Surroundings, message: str, *, for_good: bool
) -> Decision:
    """The status after a refusal; nothing that the refused decision would have said is kept.

    Args:
        message: the API server's own.
        for_good: the object itself is not valid, so that asking again is no use; otherwise
            permission, quota or a policy stands against it, and those may change.
    """
    work = Work(job, seen, around)
    if for_good and work.holds(ConditionType.ACCEPTED):
        work.fail(Reason.PODS_FORBIDDEN, message)  # its spec can change no more
    elif for_good:
        work.update(phase=Phase.PENDING)
        work.set(ConditionType.RECONCILING, False, Reason.PODS_FORBIDDEN, message)
        work.set(ConditionType.STALLED, True, Reason.PODS_FORBIDDEN, message)
        if work.set(ConditionType.ACCEPTED, False, Reason.PODS_FORBIDDEN, message):
            work.event(Reason.PODS_FORBIDDEN, message, warning=True)
    else:
        quota = "exceeded quota" in message
        reason = Reason.QUOTA_EXCEEDED if quota else Reason.PODS_FORBIDDEN
        work.goes_on(work.status.phase or Phase.PENDING, reason, message)
        work.again(AGAIN_SECONDS)
    return work.decision()
