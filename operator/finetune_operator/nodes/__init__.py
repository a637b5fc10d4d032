"""Where nodes come from, a file each."""

from collections.abc import Mapping

from finetune_operator.api.provisioner import ProvisionerType
from finetune_operator.nodes.aks.client import AgentPools
from finetune_operator.nodes.aks.provisioner import AKSNodes
from finetune_operator.nodes.existing import ExistingNodes
from finetune_operator.nodes.kaito import KAITONodes
from finetune_operator.nodes.karpenter import KarpenterNodes
from finetune_operator.nodes.provisioner import Provisioner

AGENT_POOLS = AgentPools()
"""Connects when a class first asks for agent pools of AKS."""
AKS_NODES = AKSNodes(AGENT_POOLS)

PROVISIONERS: Mapping[ProvisionerType, Provisioner] = {
    ProvisionerType.EXISTING: ExistingNodes(),
    ProvisionerType.AKS: AKS_NODES,
    ProvisionerType.KARPENTER: KarpenterNodes(),
    ProvisionerType.KAITO: KAITONodes(),
}
"""Every way to get nodes."""
