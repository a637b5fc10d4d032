"""What jobs ask their provisioners for."""

from __future__ import annotations

from typing import Any

from finetune_operator.domain.provisioning import NodeRequest, Offer

UID = "0b7a3f8e-6b1d-4b53-9c3e-5d1f2a3b4c5d"
LARGE = Offer("Standard_NC24ads_A100_v4", spot=False)
LARGE_SPOT = Offer("Standard_NC24ads_A100_v4", spot=True)
SMALL = Offer("Standard_NC4as_T4_v3", spot=False)
SMALL_SPOT = Offer("Standard_NC4as_T4_v3", spot=True)


def request(**changes: Any) -> NodeRequest:
    """Two nodes for team/chat."""
    whole: dict[str, Any] = {
        "namespace": "team",
        "job": "chat",
        "uid": UID,
        "nodes": 2,
        "gpus_per_node": 1,
        "offers": (LARGE,),
        "wanted": True,
        "labels": {"finetune.dev/namespace": "team", "finetune.dev/job": "chat"},
    }
    return NodeRequest(**whole | changes)
