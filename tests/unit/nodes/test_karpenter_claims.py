"""What is told of nodes that Karpenter makes, or cannot make."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from finetune_operator.api.reason import Reason
from finetune_operator.nodes.karpenter_claims import progress

SINCE = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
Object = dict[str, Any]


def moment(seconds: int) -> str:
    return (SINCE + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def refusal(name: str, said: str, *, after: int = 10) -> Object:
    return {
        "metadata": {"creationTimestamp": moment(after)},
        "involvedObject": {"kind": "NodeClaim", "name": name},
        "message": f"NodeClaim {name} event: insufficient capacity, {said}",
        "lastTimestamp": moment(after),
    }


def claim(name: str, *, after: int = 20, labels: Object | None = None, **step: Any) -> Object:
    """With one condition, which is not True yet."""
    conditions = [{"status": "Unknown", **step}] if step else []
    return {
        "metadata": {"name": name, "creationTimestamp": moment(after), "labels": labels or {}},
        "status": {"conditions": conditions},
    }


def test_nothing_is_known() -> None:
    assert progress(["gpu"], SINCE, [], []) is None


def test_a_claim_tells_its_next_step() -> None:
    labels = {
        "node.kubernetes.io/instance-type": "Standard_NC4as_T4_v3",
        "karpenter.sh/capacity-type": "spot",
    }
    waiting: Object = {
        "type": "Launched",
        "reason": "AwaitingReconciliation",
        "message": "awaiting",
    }
    assert progress(["gpu"], SINCE, [claim("gpu-x7k2p", **waiting)], []) == (
        Reason.PROVISIONING,
        "NodeClaim gpu-x7k2p is being made",
    )
    made = claim("gpu-x7k2p", labels=labels)
    made["status"]["conditions"] = [
        {"type": "Launched", "status": "True", "reason": "Launched", "message": ""},
        {
            "type": "Registered",
            "status": "Unknown",
            "reason": "NodeNotFound",
            "message": "Node not registered with cluster",
        },
    ]
    assert progress([], SINCE, [made], []) == (
        Reason.PROVISIONING,
        "NodeClaim gpu-x7k2p is being made (Standard_NC4as_T4_v3, spot):"
        " NodeNotFound: Node not registered with cluster",
    )


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("SKUNotAvailable", Reason.INSUFFICIENT_CAPACITY),
        ("SubscriptionQuotaReached", Reason.NODE_QUOTA_EXCEEDED),
        ("LaunchFailed", Reason.PROVISIONING),
    ],
)
def test_why_a_claim_is_not_launched(said: str, reason: Reason) -> None:
    step: Object = {
        "type": "Launched",
        "reason": said,
        "message": "the requested SKU is unavailable",
    }
    found = progress(["gpu"], SINCE, [claim("gpu-a", **step)], [])
    assert found == (
        reason,
        f"NodeClaim gpu-a is being made: {said}: the requested SKU is unavailable",
    )


def test_what_vanished_is_told_once_and_the_newest_first() -> None:
    events = [
        refusal("gpu-a", "LARGE is not available", after=1),
        refusal("gpu-b", "LARGE is not available", after=2),
        refusal("gpu-c", "SMALL is not available", after=3),
    ]
    found = progress(["gpu"], SINCE, [], events)
    assert found == (
        Reason.INSUFFICIENT_CAPACITY,
        "InsufficientCapacityError: SMALL is not available;"
        " InsufficientCapacityError: LARGE is not available",
    )
    assert progress(["gpu"], SINCE, [claim("gpu-d")], events[:1]) == (
        Reason.PROVISIONING,
        "NodeClaim gpu-d is being made; InsufficientCapacityError: LARGE is not available",
    )


@pytest.mark.parametrize(
    ("claims", "events"),
    [
        ([claim("gpu-spot-a")], [refusal("gpu-spot-b", "none")]),
        ([claim("gpu-a", after=-60)], [refusal("gpu-b", "none", after=-60)]),
    ],
    ids=["of another pool", "before the pod waited"],
)
def test_what_is_not_about_this_pod(claims: list[Object], events: list[Object]) -> None:
    assert progress(["gpu"], SINCE, claims, events) is None


def test_a_claim_that_is_done_or_going_is_not_waited_for() -> None:
    done, going = claim("gpu-a"), claim("gpu-b")
    done["status"]["conditions"] = [
        {"type": step, "status": "True"} for step in ("Launched", "Registered", "Initialized")
    ]
    going["metadata"]["deletionTimestamp"] = moment(30)
    assert progress(["gpu"], SINCE, [done, going], []) is None
