"""Where nodes come from, a file each."""

from collections.abc import Mapping

from finetune_operator.api.provisioner import ProvisionerType
from finetune_operator.nodes.aks.client import AgentPools
from finetune_operator.nodes.aks.provisioner import AKSNodes
from finetune_operator.nodes.existing import ExistingNodes
from finetune_operator.nodes.kaito import KAITONodes
from finetune_operator.nodes.karpenter import KarpenterNodes
from finetune_operator.nodes.provisioner import Provisioner


class Provisioners:
    """Every way to get nodes."""

    def __init__(self, agent_pools: AgentPools) -> None:
        self.agent_pools = agent_pools
        self._by_type: Mapping[ProvisionerType, Provisioner] = {
            ProvisionerType.EXISTING: ExistingNodes(),
            ProvisionerType.AKS: AKSNodes(agent_pools),
            ProvisionerType.KARPENTER: KarpenterNodes(),
            ProvisionerType.KAITO: KAITONodes(),
        }

    def __getitem__(self, provisioner: ProvisionerType) -> Provisioner:
        return self._by_type[provisioner]
