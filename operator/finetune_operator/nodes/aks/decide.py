"""What is made of a cluster's agent pools for one job. Pure: neither clock nor I/O."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from finetune_operator.api.fine_tune_class import FineTuneClass
from finetune_operator.api.provisioner import AKS
from finetune_operator.api.reason import Reason
from finetune_operator.domain.actions import PutAgentPool
from finetune_operator.domain.provisioning import NodeRequest, Offer, Provision, Refusal
from finetune_operator.nodes.aks import body, candidates
from finetune_operator.nodes.aks.agent_pool import ASKED, AgentPool, pool_name
from finetune_operator.nodes.aks.errors import ArmError, Then, pause_after, row_of
from finetune_operator.nodes.aks.give_back import give_back, let_go
from finetune_operator.nodes.aks.seen import LOOK_SECONDS, SOON_SECONDS, Answer, Seen, again_in

REGISTER_SECONDS = 600.0
"""How long machines may take to become nodes before they are asked for again."""


def decide(its_class: FineTuneClass, request: NodeRequest, seen: Seen) -> Provision:
    """How far the job's agent pool is, and what brings it further; see Provisioner.look."""
    settings, own = body.settings_of(its_class), held(request, seen.pools)
    if not request.wanted:
        return give_back(its_class, request, own, seen)
    useless = [pool for pool in own if not pool.is_deleting and _is_useless(pool, request, seen)]
    refusals = [refusal for pool in useless for refusal in _refusals(pool, request, seen)]
    usable = [pool for pool in own if not pool.is_deleting and pool not in useless]
    if usable:
        best, *others = sorted(usable, key=lambda pool: _preference(pool, request, seen))
        useless += others
        further = _brought_further(settings, best, request, seen)
    else:
        refused = {refusal.offer for refusal in refusals}
        offers = [offer for offer in request.offers if offer not in refused]
        kept = None if offers else _rest(useless, request, seen)
        if kept is not None:
            useless.remove(kept)
            further = _as_it_is(kept, request, seen)
        else:
            further = _asked_for(its_class, request, offers, seen)
    gone = [action for pool in useless for action in let_go(settings, pool, seen)]
    return replace(
        further,
        held=bool(own),
        nodes=further.nodes or 0,
        actions=(*gone, *further.actions),
        refusals=(*refusals, *further.refusals),
    )


def held(request: NodeRequest, pools: Sequence[AgentPool]) -> list[AgentPool]:
    """The pools that bear the job's uid. Nothing else is ever given back for it."""
    return [pool for pool in pools if pool.owner == request.uid]


def _is_useless(pool: AgentPool, request: NodeRequest, seen: Seen) -> bool:
    """Whether the pool will not get the nodes that are missing."""
    ready = seen.members.ready(pool.name, request.gpus_per_node)
    if ready >= request.nodes:
        return False
    answer = seen.answer(pool.name, spot=pool.spot)
    refused = not any(pool.is_of(offer) for offer in request.offers)
    failed = pool.has_failed and not (request.will_do(ready) and _is_due_again(pool, seen))
    return failed or refused or (answer is not None and answer.ends_offer)


def _is_due_again(pool: AgentPool, seen: Seen) -> bool:
    """Whether what a failed pool lacks is worth asking for again."""
    asked = pool.time(ASKED)
    pause = timedelta(seconds=pause_after(pool.error, pool.spot))
    return asked is None or seen.now - asked >= pause


def _rest(pools: Sequence[AgentPool], request: NodeRequest, seen: Seen) -> AgentPool | None:
    """Where nothing more can be had: the pool with most nodes, if the job goes on with so few."""
    ready = [seen.members.ready(pool.name, request.gpus_per_node) for pool in pools]
    most = max(ready, default=0)
    return pools[ready.index(most)] if request.will_do(most) else None


def _as_it_is(pool: AgentPool, request: NodeRequest, seen: Seen) -> Provision:
    """With a pool that has only some of the nodes, and gets no more for now."""
    ready = seen.members.ready(pool.name, request.gpus_per_node)
    offer = pool.offer(request.offers)
    told = (
        f"{ready} of {request.nodes} nodes of agent pool {pool.name} ({offer}) are ready, and no"
        " more can be had now"
    )
    return Provision(
        ready=False,
        held=True,
        reason=Reason.INSUFFICIENT_CAPACITY,
        message=told,
        nodes=ready,
        offer=offer,
        placement=body.placement(pool),
        requeue_after=LOOK_SECONDS,
    )


def _refusals(pool: AgentPool, request: NodeRequest, seen: Seen) -> list[Refusal]:
    """Of the offer that a useless pool was made for, unless it is known already."""
    answer = seen.answer(pool.name, spot=pool.spot)
    error = pool.error if pool.has_failed or answer is None else answer.error
    if row_of(error).then is Then.SAME_AGAIN:
        return []
    return [_refusal(offer, error) for offer in request.offers if pool.is_of(offer)]


def _refusal(offer: Offer, error: ArmError) -> Refusal:
    seconds = pause_after(error, offer.spot)
    return Refusal(offer, row_of(error).reason, str(error), seconds)


def _preference(pool: AgentPool, request: NodeRequest, seen: Seen) -> tuple[int, int, str]:
    """What is nearest to being whole, then what the job likes best."""
    ranks = [rank for rank, offer in enumerate(request.offers) if pool.is_of(offer)]
    ready = seen.members.ready(pool.name, request.gpus_per_node)
    return -ready, min(ranks, default=len(request.offers)), pool.name


def _brought_further(settings: AKS, pool: AgentPool, request: NodeRequest, seen: Seen) -> Provision:
    """With a pool that is the job's, and not in vain."""
    offer = pool.offer(request.offers)
    ready = seen.members.ready(pool.name, request.gpus_per_node)
    whole = ready >= request.nodes
    answer = seen.waits(pool.name)
    short = not whole and _is_short(pool, request, seen)
    scale = pool.count != request.nodes or short
    actions = (
        (body.scaled(settings, pool, request, seen.now),)
        if scale and not pool.is_busy and answer is None
        else ()
    )
    again = SOON_SECONDS if actions else again_in(answer, seen.now) if answer else LOOK_SECONDS
    told = f"{ready} of {request.nodes} nodes of agent pool {pool.name} ({offer}) are ready"
    if not whole:
        obstacle = seen.members.obstacle(pool.name, request.gpus_per_node)
        asked = pool.time(ASKED)
        since = f"; {pool.state}, asked for at {asked:%H:%M} UTC" if asked else f"; {pool.state}"
        told += since + (f"; {obstacle}" if obstacle else "")
        told += f"; {answer.error}" if answer else ""
    return Provision(
        ready=whole,
        held=True,
        reason=Reason.SCHEDULED if whole else _reason(answer),
        message=told,
        actions=actions,
        nodes=ready,
        offer=offer,
        placement=body.placement(pool),
        requeue_after=again,
    )


def _is_short(pool: AgentPool, request: NodeRequest, seen: Seen) -> bool:
    """Whether machines were taken away, or never came: AKS does not bring them back by itself."""
    asked = pool.time(ASKED)
    lately = asked is not None and seen.now - asked < timedelta(seconds=REGISTER_SECONDS)
    return len(seen.members.of(pool.name)) < request.nodes and not lately


def _asked_for(
    its_class: FineTuneClass, request: NodeRequest, offers: Sequence[Offer], seen: Seen
) -> Provision:
    """The first offer that was not refused: a pool that is there, or else a new one."""
    refusals: list[Refusal] = []
    for offer in offers:
        asked = _request_for(its_class, request, offer, seen)
        if isinstance(asked, Refusal):
            refusals.append(asked)
            continue
        return replace(asked, offer=offer, refusals=tuple(refusals))
    told = "; ".join(f"{each.offer}: {each.message}" for each in refusals)
    reason = refusals[0].reason if refusals else Reason.INSUFFICIENT_CAPACITY
    return Provision(
        ready=False,
        held=False,
        reason=reason,
        message=told or "every instance type was refused lately",
        refusals=tuple(refusals),
        requeue_after=LOOK_SECONDS,
    )


def _request_for(
    its_class: FineTuneClass, request: NodeRequest, offer: Offer, seen: Seen
) -> Provision | Refusal:
    settings = body.settings_of(its_class)
    if settings.agent_pools:
        there = candidates.idle(its_class, offer, seen)
        if not there:
            return candidates.none_idle(its_class, offer, seen)
    else:
        there = candidates.warm(its_class, request, offer, seen)
    for pool in there:
        if (answer := seen.answer(pool.name, spot=offer.spot)) is None:
            action = body.taken(settings, pool, request, seen.now)
            return _asking(action, f"agent pool {pool.name} ({offer}) is there, and is being taken")
        if settings.agent_pools:
            return (
                _refusal(offer, answer.error)
                if answer.ends_offer
                else _waiting(answer, offer, seen)
            )
    return _new_pool(its_class, request, offer, seen)


def _new_pool(
    its_class: FineTuneClass, request: NodeRequest, offer: Offer, seen: Seen
) -> Provision | Refusal:
    name = pool_name(request.uid, offer)
    there = seen.pool(name)
    if there is not None:
        told = f"agent pool {name} ({offer}) has to be gone before it is made again: {there.state}"
        reason = Reason.PROVISIONING if there.owner == request.uid else Reason.NAME_TAKEN
        return Provision(False, False, reason, told, requeue_after=LOOK_SECONDS)
    answer = seen.answer(name, spot=offer.spot)
    if answer is None:
        action = body.made(its_class, request, offer, seen.now)
        told = f"{request.nodes} nodes of {offer} are being asked for as agent pool {name}"
        return _asking(action, told)
    return _refusal(offer, answer.error) if answer.ends_offer else _waiting(answer, offer, seen)


def _asking(action: PutAgentPool, told: str) -> Provision:
    return Provision(
        False, False, Reason.PROVISIONING, told, actions=(action,), requeue_after=SOON_SECONDS
    )


def _waiting(answer: Answer, offer: Offer, seen: Seen) -> Provision:
    left = answer.left(seen.now, spot=offer.spot)
    told = f"{offer}: {answer.error}; asked for again in {left:.0f} s"
    again = again_in(answer, seen.now, spot=offer.spot)
    return Provision(False, False, _reason(answer), told, requeue_after=again)


def _reason(answer: Answer | None) -> Reason:
    return row_of(answer.error).reason if answer else Reason.PROVISIONING
