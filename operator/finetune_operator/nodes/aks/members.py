"""The nodes of agent pools, as the cluster sees them."""

from collections.abc import Sequence
from dataclasses import dataclass

from finetune_operator.domain.actions import JsonObject
from finetune_operator.domain.manifests.common import GPU
from finetune_operator.nodes.aks.agent_pool import AGENT_POOL
from finetune_operator.nodes.aks.body import TAINT


@dataclass(frozen=True, slots=True)
class Members:
    """Nodes with the label that names their pool."""

    nodes: Sequence[JsonObject]

    def of(self, pool: str) -> list[JsonObject]:
        """All that have come, whether they are ready or not."""
        return [node for node in self.nodes if _labels(node).get(AGENT_POOL) == pool]

    def ready(self, pool: str, gpus: int) -> int:
        """How many can take a pod with so many GPUs."""
        return len([node for node in self.of(pool) if not _obstacle(node, gpus)])

    def obstacle(self, pool: str, gpus: int) -> str:
        """Why the first that cannot, cannot; empty where there is none."""
        found = (_obstacle(node, gpus) for node in self.of(pool))
        return next((each for each in found if each), "")


def _labels(node: JsonObject) -> dict[str, str]:
    return node["metadata"].get("labels") or {}


def _obstacle(node: JsonObject, gpus: int) -> str:
    name, status = node["metadata"]["name"], node.get("status", {})
    if "deletionTimestamp" in node["metadata"]:
        return f"node {name} is leaving"
    if node.get("spec", {}).get("unschedulable"):
        return f"node {name} is cordoned"
    ready = [each for each in status.get("conditions") or () if each["type"] == "Ready"]
    if not ready or ready[0]["status"] != "True":
        return f"node {name} is not ready: {ready[0].get('message') if ready else 'just started'}"
    offered = int(status.get("allocatable", {}).get(GPU, "0"))
    if offered < gpus:
        return (
            f"node {name} offers {offered} of {gpus} {GPU}: NVIDIA's device plugin has to run"
            f" there, and to tolerate the taint {TAINT} (docs/aks.md)"
        )
    return ""
