"""Admit: is it the job's turn? If so, start the next attempt, all of its pods or none."""

from dataclasses import replace

from finetune_operator.api.conditions import ConditionType
from finetune_operator.api.fine_tune_job_status import Phase
from finetune_operator.api.reason import Reason
from finetune_operator.domain import names
from finetune_operator.domain.actions import Apply
from finetune_operator.domain.lifecycle import attempts, fewer
from finetune_operator.domain.lifecycle.provision import nodes_are_there
from finetune_operator.domain.lifecycle.work import Work
from finetune_operator.domain.line import Hold, Turn, rounded
from finetune_operator.domain.manifests.train import train_job
from finetune_operator.domain.names import Role

TURN_SECONDS = 5.0
"""How often the first of those that wait looks whether its turn has come; the second half as
often, and so on: their turn comes later, and a thousand of them must not all ask at once."""
LONGEST_TURN_SECONDS = 300.0


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
    if work.seen.line is None:
        # It has only now become ready; the next call will have looked.
        work.goes_on(Phase.QUEUED, Reason.PENDING)
        work.again(0)
        return False
    turn = work.seen.line.turn
    if turn.hold is not None:
        _wait(work, turn, _why(work, turn))
        return False
    if some := fewer.in_time(work):
        _start(work, number, some)
    # What a queue holds needs no nodes before it is admitted, and only a Job can be.
    elif names.QUEUE in work.job.metadata.labels or nodes_are_there(work):
        _start(work, number, work.attempts.nodes or work.plan.nodes)
    return False


def _start(work: Work, number: int, nodes: int) -> None:
    blueprint, some = work.blueprint(), None
    if nodes < work.plan.nodes:
        some = nodes
        blueprint = replace(blueprint, plan=work.plan.model_copy(update={"nodes": nodes}))
        work.event(Reason.FEWER_NODES, f"attempt {number} starts{fewer.told(work, nodes)}")
    work.actions.append(Apply(train_job(blueprint, number)))
    work.actions += [
        job.delete() for job in work.seen.jobs_of(Role.TRAIN) if job.number < number - 1
    ]
    work.update(attempts=work.attempts.model_copy(update={"current": number, "nodes": some}))
    if work.status.nodes is not None:
        work.update(nodes=work.status.nodes.model_copy(update={"missing_since": None}))
    work.set(ConditionType.NODES_READY, False, Reason.STARTING)
    if queue := work.job.metadata.labels.get(names.QUEUE):
        # Whether it may run is seen at the Job, as soon as the queue has looked at it.
        message = f"attempt {number} is in queue {queue}"
        work.set(ConditionType.ADMITTED, False, Reason.HELD_BY_QUEUE, message)
    else:
        work.set(ConditionType.ADMITTED, True, Reason.ADMITTED)
        work.event(Reason.ADMITTED, f"attempt {number} starts")
    work.goes_on(Phase.QUEUED, Reason.STARTING, f"attempt {number} is starting")


def _wait(work: Work, turn: Turn, why: str) -> None:
    place, of = rounded(turn.place), rounded(turn.of)
    message = f"place {place} of {of}: {why}"
    work.update(place=f"{place}/{of}")
    work.set(ConditionType.ADMITTED, False, Reason.WAITING_FOR_TURN, message)
    work.goes_on(Phase.QUEUED, Reason.WAITING_FOR_TURN, message)
    work.again(min(TURN_SECONDS * turn.place, LONGEST_TURN_SECONDS))


def _why(work: Work, turn: Turn) -> str:
    if turn.hold is Hold.START:
        return f"job {turn.by} goes first; jobs of several nodes start one at a time"
    within = f"FineTuneClass {work.spec.class_name} lets {turn.limit} job{'s'[: turn.limit != 1]}"
    if turn.hold is Hold.NAMESPACE:
        return f"{within} of namespace {work.job.metadata.namespace} run at a time"
    return f"{within} run at a time"
