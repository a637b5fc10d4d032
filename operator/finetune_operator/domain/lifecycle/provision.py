"""Provision: get the nodes of a job when it is its turn, and give them back when it is done.

Whoever holds something of a provider's keeps a finalizer, from before it was asked for until it is
given back. So it is given back also where the job was deleted while no operator ran.
"""

from collections.abc import Sequence
from datetime import datetime

from finetune_operator.api.conditions import ConditionType
from finetune_operator.api.fine_tune_job import FineTuneJob
from finetune_operator.api.fine_tune_job_status import Nodes, Phase
from finetune_operator.api.reason import Reason
from finetune_operator.domain import conditions, names
from finetune_operator.domain.actions import Finalize
from finetune_operator.domain.kinds import FINE_TUNE_JOB
from finetune_operator.domain.lifecycle import fewer
from finetune_operator.domain.lifecycle.work import WATCHED_SECONDS, Work
from finetune_operator.domain.names import NODES_FINALIZER, Role
from finetune_operator.domain.observed import Pod
from finetune_operator.domain.offers import available, offers, remembered
from finetune_operator.domain.provisioning import EXISTING, NodeRequest, Provision


def node_request(job: FineTuneJob, pods: Sequence[Pod], now: datetime) -> NodeRequest:
    """What the job asks its provisioner for, as far as its status has come."""
    known, compute = job.status.nodes or Nodes(), job.spec.compute
    plan = job.status.plan
    return NodeRequest(
        namespace=job.metadata.namespace,
        job=job.metadata.name,
        uid=job.metadata.uid,
        nodes=compute.nodes,
        gpus_per_node=plan.gpus_per_node if plan else 0,
        offers=available(
            offers(plan.instance_types if plan else (), compute.capacity_type),
            known.unavailable,
            now,
        ),
        wanted=_wanted(job, pods),
        labels={
            names.NAMESPACE: job.metadata.namespace,
            names.JOB: job.metadata.name,
        },
        waiting_since=_waiting_since(pods),
        fewest=fewer.fewest(job),
    )


def _waiting_since(pods: Sequence[Pod]) -> datetime | None:
    waiting = (
        pod.created
        for pod in pods
        if pod.role is Role.TRAIN and pod.unschedulable and not pod.node and pod.deleted is None
    )
    return min((each for each in waiting if each is not None), default=None)


def _wanted(job: FineTuneJob, pods: Sequence[Pod]) -> bool:
    """Whether a pod still needs its node, or there is something left to train."""
    if any(pod.role is Role.TRAIN and not pod.over for pod in pods):
        return True  # it is saving a checkpoint
    over = (
        ConditionType.TRAINED,
        ConditionType.SUCCEEDED,
        ConditionType.FAILED,
        ConditionType.SUSPENDED,
    )
    stated = job.status.conditions
    admitted = conditions.find(stated, ConditionType.ADMITTED)
    if admitted is not None and admitted.reason == Reason.HELD_BY_QUEUE:
        return False
    return (
        job.metadata.deletion_timestamp is None
        and not job.spec.suspend
        and conditions.is_true(stated, ConditionType.ACCEPTED)
        and not any(conditions.is_true(stated, kind) for kind in over)
    )


def without_class(job: FineTuneJob) -> Provision:
    """Where the class is gone, which says whose the nodes are. A job that never asked for any goes
    on with what was fixed when it was accepted."""
    if job.status.nodes is None and NODES_FINALIZER not in job.metadata.finalizers:
        return EXISTING
    message = (
        f"FineTuneClass {job.spec.class_name} does not exist, and it says whose the nodes are:"
        " create it again"
    )
    held = NODES_FINALIZER in job.metadata.finalizers
    return Provision(False, held, Reason.CLASS_NOT_FOUND, message)


def nodes_are_there(work: Work) -> bool:
    """Whether the pods of an attempt may be created; brings that about otherwise."""
    provision = work.seen.provision
    if provision.ready and not provision.held:
        return True
    if not work.seen.nodes_wanted:
        work.again(0)  # what was looked at is out of date
        return False
    if NODES_FINALIZER not in work.job.metadata.finalizers:
        work.actions.append(_finalize(work, (*work.job.metadata.finalizers, NODES_FINALIZER)))
        return False
    _remember(work, provision)
    if provision.ready:
        work.actions += provision.actions
        return True
    reason, message = provision.reason, provision.message
    known = (work.status.nodes or Nodes()).unavailable
    wanted = offers(work.plan.instance_types, work.spec.compute.capacity_type)
    refused = not provision.held and not available(wanted, known, work.now)
    if refused:
        reason = next(each for each in Reason if each == known[0].reason)
        message = "; ".join(
            f"{each.instance_type} ({each.capacity_type}): {each.message}" for each in known
        )
    if refused and all(each.reason == Reason.PROVISIONING_FAILED for each in known):
        work.fail(reason, message)
        return False
    if refused:
        message += f". Asked for again at {known[0].until:%H:%M} UTC"
        work.again((known[0].until - work.now).total_seconds())
    else:
        work.actions += provision.actions
        work.again(provision.requeue_after or WATCHED_SECONDS)
    if provision.nodes is not None:
        message += fewer.wait(work)
    work.set(ConditionType.NODES_READY, False, reason, message)
    work.goes_on(Phase.QUEUED, reason, message)
    return False


def release(work: Work) -> bool:
    """Whether the job holds nothing; brings that about otherwise, and in whatever phase it is."""
    provision, finalizers = work.seen.provision, work.job.metadata.finalizers
    if work.seen.nodes_wanted:
        return False
    if work.status.nodes is not None and work.status.nodes.missing_since is not None:
        work.update(nodes=work.status.nodes.model_copy(update={"missing_since": None}))
    if provision.held:
        work.actions += provision.actions
        work.set(ConditionType.NODES_READY, False, Reason.RELEASING, provision.message)
        work.again(provision.requeue_after or WATCHED_SECONDS)
        return False
    if work.status.nodes is not None and work.status.nodes.instance_type is not None:
        work.update(nodes=work.status.nodes.model_copy(update=_NOTHING))
        work.set(ConditionType.NODES_READY, False, Reason.RELEASED)
        work.event(Reason.RELEASED, "")
        work.again(0)
    elif NODES_FINALIZER in finalizers:
        left = tuple(each for each in finalizers if each != NODES_FINALIZER)
        work.actions.append(_finalize(work, left))
    return True


_NOTHING = {"instance_type": None, "capacity_type": None}


def _remember(work: Work, provision: Provision) -> None:
    known, held = work.status.nodes or Nodes(), provision.offer
    work.update(
        nodes=Nodes(
            instance_type=held.instance_type or None if held else None,
            capacity_type=held.capacity_type if held else None,
            unavailable=remembered(known.unavailable, provision.refusals, work.now),
            missing_since=None if provision.ready else known.missing_since,
        )
    )
    for refusal in provision.refusals:
        work.event(refusal.reason, f"{refusal.offer}: {refusal.message}", warning=True)


def _finalize(work: Work, finalizers: tuple[str, ...]) -> Finalize:
    metadata = work.job.metadata
    return Finalize(
        FINE_TUNE_JOB,
        metadata.namespace,
        metadata.name,
        metadata.resource_version,
        finalizers,
    )
