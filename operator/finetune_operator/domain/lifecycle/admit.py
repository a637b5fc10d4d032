"""Admit: is it the job's turn? If so, start the next attempt, all of its pods or none."""

from finetune_operator.api.conditions import ConditionType, Reason
from finetune_operator.api.fine_tune_job_status import Phase
from finetune_operator.domain.actions import Apply
from finetune_operator.domain.lifecycle import attempts
from finetune_operator.domain.lifecycle.provision import nodes_are_there
from finetune_operator.domain.lifecycle.work import Work
from finetune_operator.domain.manifests.train import train_job
from finetune_operator.domain.names import Role

TURN_SECONDS = 5.0
"""How often a job that waits for its turn looks whether it has come."""


def admit(work: Work) -> bool:
    """Done when training is complete, or an attempt is under way."""
    if work.holds(ConditionType.TRAINED) or attempts.under_way(work) is not None:
        return True
    number = attempts.newest(work) + 1
    before = f"attempt {number - 1} has ended"
    if not attempts.clear(work, work.seen.pods_of(Role.TRAIN), before):
        return False
    pause = attempts.pause_left(work)
    if pause > 0:
        work.again(pause)
        return False
    if work.plan.nodes > 1 and not _first_in_line(work):
        return False
    if not nodes_are_there(work):
        return False
    work.actions.append(Apply(train_job(work.blueprint(), number)))
    work.actions += [
        job.delete() for job in work.seen.jobs_of(Role.TRAIN) if job.number < number - 1
    ]
    work.update(attempts=work.attempts.model_copy(update={"current": number}))
    work.set(ConditionType.ADMITTED, True, Reason.ADMITTED)
    work.set(ConditionType.NODES_READY, False, Reason.STARTING)
    work.goes_on(Phase.QUEUED, Reason.STARTING, f"attempt {number} is starting")
    work.event(Reason.ADMITTED, f"attempt {number} starts")
    return False


def _first_in_line(work: Work) -> bool:
    """Whole jobs start one at a time: two halves would hold the nodes that each other needs."""
    line = work.seen.line
    blocking = line.starting or line.ahead
    if not blocking:
        return True
    doing = "is starting" if line.starting else "waits for longer"
    message = f"job {blocking[0]} {doing}; jobs of several nodes start one at a time"
    work.set(ConditionType.ADMITTED, False, Reason.WAITING_FOR_TURN, message)
    work.goes_on(Phase.QUEUED, Reason.WAITING_FOR_TURN, message)
    work.again(TURN_SECONDS)
    return False
