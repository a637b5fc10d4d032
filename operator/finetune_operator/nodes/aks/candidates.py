"""Pools that are there already, and could be had for an offer. Pure."""

from datetime import datetime, timedelta

from finetune_operator.api.fine_tune_class import FineTuneClass
from finetune_operator.api.reason import Reason
from finetune_operator.domain.provisioning import NodeRequest, Offer, Refusal
from finetune_operator.nodes.aks import body
from finetune_operator.nodes.aks.agent_pool import JOB, RELEASED, AgentPool
from finetune_operator.nodes.aks.seen import Seen

_TAKEN_SECONDS = 60.0
"""Before pools that others hold are looked at again."""


def warm(
    its_class: FineTuneClass, request: NodeRequest, offer: Offer, seen: Seen
) -> list[AgentPool]:
    """Pools that a job of the same class has given back, and that are what would be made."""
    settings = body.settings_of(its_class)
    return [
        pool
        for pool in seen.pools
        if pool.made_for == its_class.metadata.uid
        and pool.owner is None
        and pool.state == "Succeeded"
        and pool.count == request.nodes
        and not is_overdue(pool, settings.grace_seconds, seen.now)
        and body.fits(settings, pool, request, offer)
    ]


def is_overdue(pool: AgentPool, grace_seconds: int, now: datetime) -> bool:
    """Whether a pool has waited for another job long enough."""
    released = pool.time(RELEASED)
    return released is None or now - released >= timedelta(seconds=grace_seconds)


def idle(its_class: FineTuneClass, offer: Offer, seen: Seen) -> list[AgentPool]:
    """Pools that the class names, that are at 0 nodes and that nobody holds."""
    return [pool for pool in _named(its_class, seen) if pool.is_of(offer) and not _obstacle(pool)]


def none_idle(its_class: FineTuneClass, offer: Offer, seen: Seen) -> Refusal:
    """Why none of the pools that the class names can be had."""
    ours = _named(its_class, seen)
    obstacles = [f"{pool.name} {_obstacle(pool)}" for pool in ours if pool.is_of(offer)]
    missing = set(body.settings_of(its_class).agent_pools) - {pool.name for pool in ours}
    obstacles += [f"{name} does not exist" for name in sorted(missing)]
    told = "; ".join(obstacles) or "none of them has this instance type"
    message = f"of the agent pools that FineTuneClass {its_class.metadata.name} names, {told}"
    return Refusal(offer, Reason.INSUFFICIENT_CAPACITY, message, _TAKEN_SECONDS)


def _named(its_class: FineTuneClass, seen: Seen) -> list[AgentPool]:
    wanted = body.settings_of(its_class).agent_pools
    return [pool for pool in seen.pools if pool.name in wanted]


def _obstacle(pool: AgentPool) -> str:
    if pool.owner is not None:
        return f"is held by FineTuneJob {pool.tags.get(JOB)}"
    if pool.is_autoscaled:
        return "is scaled by the cluster autoscaler: switch that off, or use a class of Existing"
    if pool.state != "Succeeded":
        return f"is {pool.state}"
    return f"has {pool.count} nodes for somebody else" if pool.count else ""
