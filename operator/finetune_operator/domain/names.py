"""Names and labels of everything that is made for a FineTuneJob.

A job's name has at most 48 characters (api/), so the longest name made here,
`<48>-publish-9999` with a pod's suffix, stays within a DNS label of 63.
"""

from enum import StrEnum

MANAGED_BY = "app.kubernetes.io/managed-by"
OPERATOR = "finetune-operator"
NAMESPACE = "finetune.dev/namespace"
"""Of the job that something without a namespace was made for."""
JOB = "finetune.dev/job"
JOB_UID = "finetune.dev/job-uid"
"""Which FineTuneJob, of all that have had its name, a child belongs to."""

ROLE = "finetune.dev/role"
ATTEMPT = "finetune.dev/attempt"
PASSED_ON = "kueue.x-k8s.io/"
"""Prefix of the labels that children inherit; any other would make GitOps tools adopt them."""

NODES_FINALIZER = "finetune.dev/nodes"
"""Held by a job while a provider holds something for it."""

QUEUE = f"{PASSED_ON}queue-name"
"""Label: the LocalQueue of Kueue's that admits the job's Jobs."""

QUEUED_JOB = f"{PASSED_ON}job-uid"
"""Label of Kueue's Workloads: uid of the Job."""

WORKSPACE_PATH = "/workspace"
MODEL_CACHE_PATH = "/model-cache"
RECIPE_FILE = "recipe.json"
RECIPE_PATH = "/etc/finetune"


class Role(StrEnum):
    """What a Job of ours does; value of the label finetune.dev/role."""

    PREPARE = "prepare"
    REUSE = "reuse"
    TRAIN = "train"
    PUBLISH = "publish"
    SERVE = "serve"


def config_map(job: str) -> str:
    """The ConfigMap that holds the recipe."""
    return f"{job}-recipe"


def volume_claim(job: str) -> str:
    """The claim of the volume that the steps hand over through."""
    return job


def service(job: str) -> str:
    """The headless Service by which training pods find rank 0.

    Not the job's own name: that is the Service of an InferenceWorkspace, or of KAITO's, so named.
    """
    return f"{job}-train"


def batch_job(job: str, role: Role, number: int) -> str:
    """The Job of an attempt, numbered from 1."""
    return f"{job}-{role}-{number}"
