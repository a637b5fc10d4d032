"""In which order a job asks for nodes, and what is not asked for at present."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from finetune_operator.api.compute import CapacityChoice
from finetune_operator.api.fine_tune_job_status import Unavailable
from finetune_operator.domain.provisioning import Offer, Refusal

_REMEMBERED = 32
"""As many as the status holds; more cannot be refused: 16 types, each in two ways."""


def offers(types: Sequence[str], capacity_type: CapacityChoice) -> tuple[Offer, ...]:
    """Every way to get nodes, in order of preference: SpotPreferred asks for every type as spot
    before it asks for any at the full price.

    Args:
        types: of the job's plan; empty: any.
    """
    ways = {
        CapacityChoice.ON_DEMAND: (False,),
        CapacityChoice.SPOT: (True,),
        CapacityChoice.SPOT_PREFERRED: (True, False),
    }[capacity_type]
    return tuple(Offer(each, spot) for spot in ways for each in types or ("",))


def available(
    wanted: Sequence[Offer], unavailable: Iterable[Unavailable], now: datetime
) -> tuple[Offer, ...]:
    """What is worth asking for now, in the same order."""
    refused = {(each.instance_type, each.capacity_type) for each in unavailable if each.until > now}
    return tuple(each for each in wanted if (each.instance_type, each.capacity_type) not in refused)


def remembered(
    before: Iterable[Unavailable], refusals: Iterable[Refusal], now: datetime
) -> tuple[Unavailable, ...]:
    """What is not to be asked for, after these refusals; what is due again is forgotten."""
    found = {(each.instance_type, each.capacity_type): each for each in before if each.until > now}
    for each in refusals:
        offer = each.offer
        found[offer.instance_type, offer.capacity_type] = Unavailable(
            instance_type=offer.instance_type,
            capacity_type=offer.capacity_type,
            reason=each.reason.value,
            message=each.message[:1024],
            until=now + timedelta(seconds=each.seconds),
        )
    return tuple(sorted(found.values(), key=lambda each: each.until))[:_REMEMBERED]
