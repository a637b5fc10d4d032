"""The kinds of object this operator reads or writes, one line each."""

from dataclasses import dataclass

GROUP = "finetune.dev"
VERSION = "v1beta1"


@dataclass(frozen=True, slots=True)
class Kind:
    """Where the API server keeps one kind of object."""

    api_version: str
    """As in a manifest: `v1`, `batch/v1`."""

    name: str
    """The manifest's `kind`."""

    plural: str
    namespaced: bool = True

    @property
    def group(self) -> str:
        """The API group, empty for the core group."""
        return self.api_version.rpartition("/")[0]

    @property
    def version(self) -> str:
        """The version without its group."""
        return self.api_version.rpartition("/")[2]


FINE_TUNE_CLASS = Kind(f"{GROUP}/{VERSION}", "FineTuneClass", "finetuneclasses", namespaced=False)
FINE_TUNE_JOB = Kind(f"{GROUP}/{VERSION}", "FineTuneJob", "finetunejobs")
INFERENCE_REVISION = Kind(f"{GROUP}/{VERSION}", "InferenceRevision", "inferencerevisions")
INFERENCE_WORKSPACE = Kind(f"{GROUP}/{VERSION}", "InferenceWorkspace", "inferenceworkspaces")

CONFIG_MAP = Kind("v1", "ConfigMap", "configmaps")
EVENT = Kind("v1", "Event", "events")
NODE = Kind("v1", "Node", "nodes", namespaced=False)
POD = Kind("v1", "Pod", "pods")
SERVICE = Kind("v1", "Service", "services")
VOLUME_CLAIM = Kind("v1", "PersistentVolumeClaim", "persistentvolumeclaims")
STORAGE_CLASS = Kind("storage.k8s.io/v1", "StorageClass", "storageclasses", namespaced=False)
BATCH_JOB = Kind("batch/v1", "Job", "jobs")
DEPLOYMENT = Kind("apps/v1", "Deployment", "deployments")
REPLICA_SET = Kind("apps/v1", "ReplicaSet", "replicasets")
POD_DISRUPTION_BUDGET = Kind("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets")
NODE_POOL = Kind("karpenter.sh/v1", "NodePool", "nodepools", namespaced=False)
NODE_CLAIM = Kind("karpenter.sh/v1", "NodeClaim", "nodeclaims", namespaced=False)
LEASE = Kind("coordination.k8s.io/v1", "Lease", "leases")
PRIORITY_CLASS = Kind("scheduling.k8s.io/v1", "PriorityClass", "priorityclasses", namespaced=False)
KUEUE_WORKLOAD = Kind("kueue.x-k8s.io/v1beta2", "Workload", "workloads")
KAITO_WORKSPACE = Kind("kaito.sh/v1beta1", "Workspace", "workspaces")

BY_MANIFEST = {
    (kind.api_version, kind.name): kind
    for kind in (
        FINE_TUNE_CLASS,
        FINE_TUNE_JOB,
        INFERENCE_REVISION,
        INFERENCE_WORKSPACE,
        CONFIG_MAP,
        EVENT,
        NODE,
        POD,
        SERVICE,
        VOLUME_CLAIM,
        STORAGE_CLASS,
        BATCH_JOB,
        DEPLOYMENT,
        REPLICA_SET,
        POD_DISRUPTION_BUDGET,
        NODE_POOL,
        NODE_CLAIM,
        LEASE,
        PRIORITY_CLASS,
        KUEUE_WORKLOAD,
        KAITO_WORKSPACE,
    )
}
"""Finds the kind of a manifest by its (apiVersion, kind)."""
