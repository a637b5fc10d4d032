"""Where the nodes of a class's jobs come from: a type and the member of its name."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from finetune_operator.api.base import ApiModel
from finetune_operator.api.cel import Matches, Rule, rules
from finetune_operator.api.text import Name


class ProvisionerType(StrEnum):
    """Where nodes come from."""

    EXISTING = "Existing"
    AKS = "AKS"
    KARPENTER = "Karpenter"
    KAITO = "KAITO"


AgentPoolName = Annotated[
    str,
    Field(min_length=1, max_length=12),
    Matches(r"^[a-z][a-z0-9]*$", "must be the name of an agent pool: a-z and 0-9"),
]


class AKS(ApiModel):
    """Agent pools of an AKS cluster, one for each job, made by the operator's workload identity."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Rule(
                "self.subscriptionId == oldSelf.subscriptionId"
                " && self.resourceGroup == oldSelf.resourceGroup"
                " && self.cluster == oldSelf.cluster",
                "jobs of this class may hold agent pools of that cluster: make another class",
            ),
        )
    )

    subscription_id: Annotated[
        str,
        Field(max_length=36),
        Matches(r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$", "must be a UUID"),
    ]
    """Subscription of the cluster."""
    resource_group: Annotated[
        str,
        Field(min_length=1, max_length=90),
        Matches(r"^[-\w._()]*[-\w_()]$", "must be the name of a resource group"),
    ]
    """Resource group of the managed cluster, not the one of its nodes."""
    cluster: Annotated[
        str,
        Field(min_length=1, max_length=63),
        Matches(r"^[a-zA-Z0-9]([-_a-zA-Z0-9]*[a-zA-Z0-9])?$", "must be the name of an AKS cluster"),
    ]
    """Name of the managed cluster that this operator runs in."""
    capacity_reservation_group: Annotated[
        str,
        Field(max_length=512),
        Matches(
            r"^(/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft[.]Compute"
            r"/capacityReservationGroups/[^/]+)?$",
            "must be the resource id of a capacity reservation group",
        ),
    ] = ""
    """Resource id of the reservation that on-demand nodes are taken from. Empty: none."""
    vnet_subnet_id: Annotated[
        str,
        Field(max_length=512),
        Matches(
            r"^(/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft[.]Network"
            r"/virtualNetworks/[^/]+/subnets/[^/]+)?$",
            "must be the resource id of a subnet",
        ),
    ] = ""
    """Resource id of the subnet of the nodes, in a cluster with a virtual network of your own.
    Empty: the network that AKS has made."""
    gpu_instance_profile: Literal["MIG1g", "MIG2g", "MIG3g", "MIG4g", "MIG7g"] | None = None
    """Into which parts the GPUs of an A100 or H100 are divided (MIG); each counts as one GPU.
    Absent: not divided."""
    agent_pools: Annotated[tuple[AgentPoolName, ...], Field(max_length=16)] = ()
    """Agent pools of your own, kept at 0 nodes: one of the instance type that a job asks for is
    scaled up for it, and to 0 afterwards, instead of making one. None is ever deleted.
    Default: none."""
    grace_seconds: Annotated[int, Field(ge=0, le=3600)] = 0
    """How long the nodes of a pool that was made for a job stay for a following one that needs the
    same. They cost meanwhile. Default: 0."""


class NodeClassReference(ApiModel):
    """Which NodeClass of Karpenter's provider."""

    group: Annotated[str, Field(min_length=1, max_length=253)]
    """API group, such as karpenter.azure.com."""
    kind: Annotated[str, Field(min_length=1, max_length=63)]
    """Kind, such as AKSNodeClass."""
    name: Name
    """Name."""


class OwnNodePools(ApiModel):
    """A NodePool for each job, which goes when the job gives its nodes back."""

    node_class_ref: NodeClassReference
    """What its nodes are made from."""


class Karpenter(ApiModel):
    """Nodes that Karpenter makes because pods need them."""

    node_pools: Annotated[tuple[Name, ...], Field(max_length=16)] = ()
    """NodePools whose nodes may be used. Empty: any. Default: empty."""
    own_node_pools: OwnNodePools | None = None
    """Makes NodePools, beside the limits that the platform team has set for others: only where it
    says so. Absent: the NodePools that there are."""


class KAITO(ApiModel):
    """NodeClaims as KAITO's gpu-provisioner fulfils them, one for each node."""

    disk_size: Annotated[
        str, Field(max_length=16), Matches(r"^[1-9][0-9]*Gi$", "must be a size such as 120Gi")
    ] = "120Gi"
    """Disk of each node. Default: 120Gi."""


class Provisioner(ApiModel):
    """Where nodes come from: a type and the member of its name."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Rule(
                "(self.type == 'AKS') == has(self.aks)",
                "aks is given exactly when type is AKS: name subscriptionId, resourceGroup and"
                " cluster",
                field=".type",
            ),
            Rule(
                "self.type == 'Karpenter' || !has(self.karpenter)",
                "karpenter is for type Karpenter only: remove it, or set type: Karpenter",
                field=".karpenter",
            ),
            Rule(
                "self.type == 'KAITO' || !has(self.kaito)",
                "kaito is for type KAITO only: remove it, or set type: KAITO",
                field=".kaito",
            ),
            Rule(
                "!has(self.karpenter) || !has(self.karpenter.ownNodePools)"
                " || !has(self.karpenter.nodePools) || size(self.karpenter.nodePools) == 0",
                "nodePools and ownNodePools exclude each other: name those that there are, or have"
                " them made",
                field=".karpenter",
            ),
        )
    )

    type: ProvisionerType = ProvisionerType.EXISTING
    """Existing: the nodes that the cluster has. AKS: agent pools that are made for a job and
    deleted when it no longer needs them. Karpenter: nodes that Karpenter makes for the pods.
    KAITO: NodeClaims that KAITO's gpu-provisioner fulfils. Default: Existing."""
    aks: AKS | None = None
    """Settings of type AKS."""
    karpenter: Karpenter | None = None
    """Settings of type Karpenter. Absent: any NodePool."""
    kaito: KAITO | None = None
    """Settings of type KAITO. Absent: their defaults."""
