"""Classes of type AKS, and time that the test moves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from finetune_operator.api.fine_tune_class import FineTuneClass
from finetune_operator.nodes.aks.agent_pool import AgentPool
from finetune_operator.nodes.aks.members import Members
from finetune_operator.nodes.aks.seen import Answer, Seen
from tests.arm.server import CLUSTER, GROUP, SUBSCRIPTION

CLASS_UID = "77777777-0000-0000-0000-000000000000"
START = datetime(2026, 11, 27, 9, 0, tzinfo=UTC)


class Clock:
    """The time; moves only when told to."""

    def __init__(self) -> None:
        self.time = START

    def __call__(self) -> datetime:
        """Now."""
        return self.time

    def forward(self, seconds: float) -> None:
        """Later."""
        self.time += timedelta(seconds=seconds)


def aks_class(uid: str = CLASS_UID, **settings: Any) -> FineTuneClass:
    """Of the cluster that the server serves."""
    whole = {
        "subscriptionId": SUBSCRIPTION,
        "resourceGroup": GROUP,
        "cluster": CLUSTER,
        **settings,
    }
    return FineTuneClass.model_validate(
        {
            "metadata": {"name": "aks", "uid": uid},
            "spec": {
                "images": {"trainer": f"registry.example.com/trainer@sha256:{'0' * 64}"},
                "provisioner": {"type": "AKS", "aks": whole},
            },
        }
    )


def seen(
    *pools: AgentPool,
    nodes: list[dict[str, Any]] | None = None,
    now: datetime = START,
    **answers: Answer,
) -> Seen:
    """What a decision depends on."""
    return Seen(pools, answers, Members(nodes or []), now)


def node(pool: str, number: int = 1, gpus: int = 1, ready: bool = True) -> dict[str, Any]:
    """One of a pool."""
    return {
        "metadata": {
            "name": f"aks-{pool}-vmss{number:06d}",
            "labels": {"kubernetes.azure.com/agentpool": pool},
        },
        "status": {
            "conditions": [
                {"type": "Ready", "status": "True" if ready else "False", "message": "kubelet"}
            ],
            "allocatable": {"nvidia.com/gpu": str(gpus)},
        },
    }
