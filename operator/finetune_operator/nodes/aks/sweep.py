"""Agent pools that cost and that nobody will give back: found, named, and ended. Pure.

A job keeps its finalizer until its pools are given back, so that this finds little: pools whose
time to wait for another job is over; what somebody left who removed a finalizer by hand; what ARM
made of a request that it took while its sender died.
"""

from collections.abc import Sequence, Set
from datetime import datetime

from finetune_operator.api.fine_tune_class import FineTuneClass
from finetune_operator.nodes.aks import body
from finetune_operator.nodes.aks.agent_pool import JOB, RELEASED, AgentPool
from finetune_operator.nodes.aks.candidates import is_overdue
from finetune_operator.nodes.aks.give_back import let_go
from finetune_operator.nodes.aks.seen import Seen
from finetune_operator.nodes.leftovers import Leftover, Owner, lost


def owners(its_class: FineTuneClass, pools: Sequence[AgentPool]) -> list[Owner]:
    """Jobs that have to be looked up before anything can be said about their pools."""
    found = [_owner(pool) for pool in pools if _is_ours(its_class, pool)]
    return [owner for owner in found if owner is not None]


def leftovers(its_class: FineTuneClass, seen: Seen, gone: Set[Owner]) -> list[Leftover]:
    """What is to be ended, of this class.

    Args:
        gone: those of owners() that are known not to exist; whoever could not be looked up, or
            is somebody else's to judge, is not among them.
    """
    found = []
    for pool in seen.pools:
        if not _is_ours(its_class, pool) or pool.is_deleting:
            continue
        if why := _why(its_class, pool, gone, seen.now):
            actions = let_go(body.settings_of(its_class), pool, seen)
            found.append(Leftover("agent pool", pool.name, why, actions))
    return found


def _is_ours(its_class: FineTuneClass, pool: AgentPool) -> bool:
    """By the tag of the class, so that another cluster's operator is never interfered with; or by
    its name and a job's uid, where the pool is the platform team's."""
    if pool.made_for is not None:
        return pool.made_for == its_class.metadata.uid
    return pool.owner is not None and pool.name in body.settings_of(its_class).agent_pools


def _owner(pool: AgentPool) -> Owner | None:
    namespace, _, name = pool.tags.get(JOB, "").partition("/")
    return Owner(namespace, name, pool.owner) if pool.owner and name else None


def _why(its_class: FineTuneClass, pool: AgentPool, gone: Set[Owner], now: datetime) -> str:
    if pool.owner is not None:
        owner = _owner(pool)
        return lost(pool.tags.get(JOB)) if owner is None or owner in gone else ""
    if not is_overdue(pool, body.settings_of(its_class).grace_seconds, now):
        return ""
    waited = "no job has taken it over" if RELEASED in pool.tags else "no job holds it"
    return f"{waited}; the last was {pool.tags.get(JOB)}"
