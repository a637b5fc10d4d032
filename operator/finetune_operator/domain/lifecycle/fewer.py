"""Fewer: after an attempt has ended, with how many nodes the next one does where not all come back.

Where nodes are there before the pods, the attempt waits for them and then starts with those that
are ready. Where they come with the pods, the pods of an attempt wait; then their Job makes room for
one of fewer pods. Either way the attempt after that asks for all again.
"""

from datetime import datetime, timedelta

from finetune_operator.api.fine_tune_job import FineTuneJob
from finetune_operator.api.fine_tune_job_status import Attempts, Nodes
from finetune_operator.api.reason import Reason
from finetune_operator.domain.endings import Ending, Outcome
from finetune_operator.domain.lifecycle import attempts
from finetune_operator.domain.lifecycle.work import Work
from finetune_operator.domain.observed import BatchJob, Pod
from finetune_trainer import rules
from finetune_trainer.recipe import Recipe


def fewest(job: FineTuneJob) -> int | None:
    """With how few nodes the next attempt may start; None: only with all."""
    counted, allowed = job.status.attempts or Attempts(), job.spec.compute.min_nodes
    interrupted = counted.failures + counted.disruptions > 0
    return allowed if interrupted and allowed != job.spec.compute.nodes else None


def wait(work: Work) -> str:
    """Notes since when nodes are missing, and asks to be called when that is long enough; says so
    for people."""
    if fewest(work.job) is None or attempts.under_way(work) is not None:
        return ""
    known = work.status.nodes or Nodes()
    since = known.missing_since or work.now
    work.update(nodes=known.model_copy(update={"missing_since": since}))
    due = _due(work, since)
    if work.now >= due:
        return ""
    work.again((due - work.now).total_seconds())
    return f"; from {due:%H:%M:%S} UTC on {work.spec.compute.min_nodes} will do"


def in_time(work: Work) -> int:
    """With how many of the nodes that are ready an attempt is to start; 0: with all, once they
    are."""
    provision, known = work.seen.provision, work.status.nodes or Nodes()
    if provision.ready or provision.nodes is None or known.missing_since is None:
        return 0
    if work.now < _due(work, known.missing_since):
        return 0
    return _most(work, provision.nodes)


def make_room(work: Work, job: BatchJob, pods: list[Pod]) -> bool:
    """Whether an attempt that waits for nodes in vain was ended, so that the next one starts with
    those that its pods have found."""
    if fewest(work.job) is None or job.created is None or job.suspended or job.deleting:
        return False
    if not any(not pod.node and pod.deleted is None for pod in pods):
        return False
    due = _due(work, job.created)
    if work.now < due:
        work.again((due - work.now).total_seconds())
        return False
    placed = [pod for pod in pods if pod.node and not pod.over and pod.deleted is None]
    there = [pod for pod in placed if pod.node not in work.seen.lost_nodes]
    nodes = _most(work, min(len(there), job.parallelism - 1))
    if not nodes:
        return False
    message = (
        f"{len(there)} of {job.parallelism} pods had a node after"
        f" {work.spec.compute.min_nodes_after_seconds} s: going on with {nodes}"
    )
    # A pod that never had a node is never made anew, so this attempt was never whole: the others
    # wait for it, have begun nothing, and need no time to save it.
    work.actions += [pod.delete(force=True) for pod in pods if not pod.over]
    work.actions.append(job.delete())
    ending = Ending(Outcome.DISRUPTED, Reason.FEWER_NODES, message)
    attempts.settle(work, job.number, ending)
    work.update(attempts=work.attempts.model_copy(update={"nodes": nodes}))
    return True


def has_enough(work: Work, job: BatchJob) -> bool:
    """Whether an attempt of fewer pods has its nodes, although the job would like more: none is
    asked for then, because it would idle until the next attempt."""
    return job.parallelism < work.plan.nodes and (work.seen.provision.nodes or 0) >= job.parallelism


def told(work: Work, nodes: int) -> str:
    """That an attempt has fewer nodes than the job asks for; empty where it has all."""
    return f" on {nodes} of {work.plan.nodes} nodes" if nodes < work.plan.nodes else ""


def _due(work: Work, since: datetime) -> datetime:
    return since + timedelta(seconds=work.spec.compute.min_nodes_after_seconds)


def _most(work: Work, there: int) -> int:
    """The greatest number, up to those that are there, over which a batch can be shared evenly;
    0: none."""
    least = fewest(work.job)
    if least is None or work.seen.recipe is None or there < least:
        return 0
    recipe = Recipe.model_validate_json(work.seen.recipe.content)
    known = set(rules.problems(recipe))
    numbers = range(min(there, work.plan.nodes - 1), least - 1, -1)
    return next((each for each in numbers if known.issuperset(rules.problems(recipe.on(each)))), 0)
