"""Where nodes come from, a file each."""

from collections.abc import Mapping

from finetune_operator.api.provisioner import ProvisionerType
from finetune_operator.nodes.existing import ExistingNodes
from finetune_operator.nodes.kaito import KAITONodes
from finetune_operator.nodes.karpenter import KarpenterNodes
from finetune_operator.nodes.provisioner import Provisioner

PROVISIONERS: Mapping[ProvisionerType, Provisioner] = {
    ProvisionerType.EXISTING: ExistingNodes(),
    ProvisionerType.KARPENTER: KarpenterNodes(),
    ProvisionerType.KAITO: KAITONodes(),
}
"""Every way to get nodes."""
