"""Provisioner Existing: the nodes that the cluster has, and what is known of its storage."""

from dataclasses import replace

from finetune_operator.api.fine_tune_class import FineTuneClass
from finetune_operator.cluster.client import Client
from finetune_operator.domain.kinds import NODE, STORAGE_CLASS
from finetune_operator.domain.manifests.common import GPU
from finetune_operator.domain.provisioning import EXISTING, NodeRequest, Placement, Provision
from finetune_operator.nodes.leftovers import Leftover
from finetune_operator.nodes.provisioner import of_types

SINGLE_NODE_PROVISIONERS = frozenset(
    {
        "rancher.io/local-path",
        "kubernetes.io/host-path",
        "k8s.io/minikube-hostpath",
        "docker.io/hostpath",
        "microk8s.io/hostpath",
        "openebs.io/local",
        "local.csi.openebs.io",
        "topolvm.io",
        "disk.csi.azure.com",
        "kubernetes.io/azure-disk",
        "ebs.csi.aws.com",
        "kubernetes.io/aws-ebs",
        "pd.csi.storage.gke.io",
        "kubernetes.io/gce-pd",
    }
)
"""Provisioners whose file systems one node at a time can mount, by their own documentation."""

_GPU_MEMORY = "nvidia.com/gpu.memory"
"""MiB."""
_DEFAULT = "storageclass.kubernetes.io/is-default-class"


class ExistingNodes:
    """Asks nobody for nodes; a job that names instance types gets only such."""

    async def look(
        self, client: Client, its_class: FineTuneClass, request: NodeRequest
    ) -> Provision:
        """Always ready: the scheduler says what is missing."""
        types = [offer.instance_type for offer in request.offers if offer.instance_type]
        return replace(EXISTING, placement=Placement(requirements=of_types(types)))

    async def leftovers(self, client: Client, its_class: FineTuneClass) -> list[Leftover]:
        """None: nothing is ever made."""
        del client, its_class
        return []


async def has_gpu_nodes(client: Client) -> bool:
    """Whether any node of the cluster offers an NVIDIA GPU."""
    nodes = await client.list_objects(NODE)
    offered = (node.get("status", {}).get("allocatable", {}).get(GPU, "0") for node in nodes)
    return any(amount not in ("", "0") for amount in offered)


async def gpu_memory(client: Client) -> int | None:
    """Bytes of the smallest NVIDIA GPU of the cluster, by the label of NVIDIA's GPU feature
    discovery; None where no node has it."""
    nodes = await client.list_objects(NODE)
    labels = (node["metadata"].get("labels", {}).get(_GPU_MEMORY, "") for node in nodes)
    return min((int(each) << 20 for each in labels if each.isdigit()), default=None)


async def is_lost(client: Client, name: str) -> bool:
    """Whether a node does not answer, or is no more."""
    node = await client.get(NODE, None, name)
    if node is None:
        return True
    conditions = node.get("status", {}).get("conditions") or ()
    return any(each["type"] == "Ready" and each["status"] != "True" for each in conditions)


async def storage_is_shared(client: Client, storage_class: str | None) -> bool | None:
    """Whether several nodes can mount a volume of the class, None being the default class.

    False only where that is certain; None where it is not known, for example because the class
    does not exist (yet): then the claim stays pending and says why.
    """
    classes = await client.list_objects(STORAGE_CLASS)
    for found in classes:
        metadata = found["metadata"]
        is_default = (metadata.get("annotations") or {}).get(_DEFAULT) == "true"
        if metadata["name"] == storage_class or (storage_class is None and is_default):
            return False if found["provisioner"] in SINGLE_NODE_PROVISIONERS else None
    return None
