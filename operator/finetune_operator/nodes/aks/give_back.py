"""Giving agent pools back: deleted, kept for another job for a while, or scaled to 0. Pure."""

from collections.abc import Sequence
from datetime import timedelta

from finetune_operator.api.fine_tune_class import FineTuneClass
from finetune_operator.api.provisioner import AKS
from finetune_operator.api.reason import Reason
from finetune_operator.domain.actions import Action, DeleteAgentPool
from finetune_operator.domain.provisioning import NodeRequest, Provision
from finetune_operator.nodes.aks import body
from finetune_operator.nodes.aks.agent_pool import ASKED, AgentPool
from finetune_operator.nodes.aks.seen import LOOK_SECONDS, SOON_SECONDS, Seen, again_in

_EMPTYING_SECONDS = 60.0
"""Before scaling to 0 is asked for again, where it has failed."""


def give_back(
    its_class: FineTuneClass, request: NodeRequest, own: Sequence[AgentPool], seen: Seen
) -> Provision:
    """Nothing is the job's any more once each of its pools is gone or bears its tag no longer."""
    settings = body.settings_of(its_class)
    if not own:
        return Provision(False, False, Reason.RELEASED, "the job holds no agent pool")
    actions: list[Action] = []
    told: list[str] = []
    again = LOOK_SECONDS
    for pool in own:
        if answer := seen.waits(pool.name):
            told.append(f"agent pool {pool.name} cannot be given back yet: {answer.error}")
            again = min(again, again_in(answer, seen.now))
            continue
        warm = _is_worth_keeping(its_class, pool, request, seen)
        done = (body.released(settings, pool, seen.now),) if warm else let_go(settings, pool, seen)
        actions += done
        again = SOON_SECONDS if done else again
        told.append(f"agent pool {pool.name} {_doing(settings, pool, warm=warm)}")
    return Provision(
        ready=False,
        held=True,
        reason=Reason.RELEASING,
        message="; ".join(told),
        actions=tuple(actions),
        offer=own[0].offer(request.offers),
        requeue_after=again,
    )


def let_go(settings: AKS, pool: AgentPool, seen: Seen) -> tuple[Action, ...]:
    """What ends the costs of a pool: ours is deleted, the platform team's stays at 0 nodes."""
    if pool.is_deleting or seen.waits(pool.name):
        return ()
    if pool.made_for is not None:
        return (DeleteAgentPool(body.cluster_of(settings), pool.name, pool.etag),)
    if pool.is_busy:
        return ()
    if pool.count == 0 and not pool.has_failed:
        return (body.left(settings, pool),)
    asked = pool.time(ASKED)
    if pool.has_failed and asked and seen.now - asked < timedelta(seconds=_EMPTYING_SECONDS):
        return ()
    return (body.emptied(settings, pool, seen.now),)


def _is_worth_keeping(
    its_class: FineTuneClass, pool: AgentPool, request: NodeRequest, seen: Seen
) -> bool:
    """Whether a following job of the class could start on the pool at once."""
    grace = body.settings_of(its_class).grace_seconds
    whole = seen.members.ready(pool.name, request.gpus_per_node) == pool.count > 0
    return grace > 0 and pool.made_for == its_class.metadata.uid and not pool.is_busy and whole


def _doing(settings: AKS, pool: AgentPool, *, warm: bool) -> str:
    if warm:
        return f"waits {settings.grace_seconds} s for another job"
    return "is being deleted" if pool.made_for is not None else "is being scaled to 0 nodes"
