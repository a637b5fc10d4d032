"""What Karpenter says of the nodes that a job's pods wait for: its NodeClaims, and events of those
that vanished.

Which pod a NodeClaim is for, it tells in an event about the pod, but leaves that out within two
minutes of another one. So all claims count of the NodePools that the job may use, from the moment
on at which its pod began to wait.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

from finetune_operator.api.reason import Reason
from finetune_operator.domain.actions import JsonObject
from finetune_operator.domain.views import last_seen
from finetune_operator.nodes.provisioner import INSTANCE_TYPE, NO_CAPACITY

STEPS = ("Launched", "Registered", "Initialized")
"""Conditions of a NodeClaim, in the order in which they become True."""
REFUSED: dict[str, Reason] = {
    "SKUNotAvailable": Reason.INSUFFICIENT_CAPACITY,
    "AllocationFailure": Reason.INSUFFICIENT_CAPACITY,
    "ZonalAllocationFailure": Reason.INSUFFICIENT_CAPACITY,
    "OverconstrainedAllocationFailure": Reason.INSUFFICIENT_CAPACITY,
    "OverconstrainedZonalAllocationFailure": Reason.INSUFFICIENT_CAPACITY,
    "SubscriptionQuotaReached": Reason.NODE_QUOTA_EXCEEDED,
    "RegionalQuotaReached": Reason.NODE_QUOTA_EXCEEDED,
}
"""Reasons of the condition Launched in Karpenter's provider for Azure, which tries the next
offering for the same claim (pkg/providers/instance/offerings/commonerrorhandlers.go)."""
_PREFIX = re.compile(r"^NodeClaim \S+ event: (insufficient capacity, )?")
_UNTOUCHED = "AwaitingReconciliation"
_TOLD = 3
"""Refusals that are told, the newest ones."""


def progress(
    pools: Collection[str],
    since: datetime,
    claims: Sequence[JsonObject],
    events: Sequence[JsonObject],
) -> tuple[Reason, str] | None:
    """How far the nodes are that a pod waits for; None where nothing is known of them.

    Args:
        pools: names of the NodePools that count; empty: all of them.
        since: when the pod began to wait.
        claims: NodeClaims as they are now.
        events: about NodeClaims that could not be fulfilled, InsufficientCapacityError.
    """
    refused = _refused(pools, since, events)
    for claim in claims:
        if _counts(pools, claim["metadata"]["name"]) and _is_under_way(claim, since):
            reason, message = _step(claim)
            return reason, "; ".join([message, *refused])
    return (Reason.INSUFFICIENT_CAPACITY, "; ".join(refused)) if refused else None


def _counts(pools: Collection[str], claim: str) -> bool:
    """By its name: that of its NodePool and a suffix without hyphens."""
    return not pools or claim.rpartition("-")[0] in pools


def _refused(
    pools: Collection[str], since: datetime, events: Iterable[JsonObject]
) -> tuple[str, ...]:
    """Each refusal once: several claims of one round are refused in the same words."""
    found = sorted(
        (
            each
            for each in events
            if _counts(pools, each["involvedObject"]["name"])
            and datetime.fromisoformat(last_seen(each)) >= since
        ),
        key=last_seen,
        reverse=True,
    )
    said = (_PREFIX.sub("", each.get("message", "")) for each in found)
    return tuple(dict.fromkeys(f"{NO_CAPACITY}: {each}" for each in said))[:_TOLD]


def _is_under_way(claim: JsonObject, since: datetime) -> bool:
    metadata = claim["metadata"]
    made = datetime.fromisoformat(metadata["creationTimestamp"])
    return made >= since and "deletionTimestamp" not in metadata and _next(claim) is not None


def _next(claim: JsonObject) -> JsonObject | None:
    """The first condition that is not True, or is not there yet."""
    found = {each["type"]: each for each in claim.get("status", {}).get("conditions") or ()}
    steps = (found.get(step, {"status": "Unknown"}) for step in STEPS)
    return next((each for each in steps if each["status"] != "True"), None)


def _step(claim: JsonObject) -> tuple[Reason, str]:
    labels, waits_for = claim["metadata"].get("labels", {}), _next(claim) or {}
    what = [labels[key] for key in (INSTANCE_TYPE, "karpenter.sh/capacity-type") if key in labels]
    message = f"NodeClaim {claim['metadata']['name']} is being made"
    message += f" ({', '.join(what)})" if what else ""
    reason, said = waits_for.get("reason", _UNTOUCHED), waits_for.get("message", "")
    if said and reason != _UNTOUCHED:
        message += f": {reason}: {said}"
    return REFUSED.get(reason, Reason.PROVISIONING), message
