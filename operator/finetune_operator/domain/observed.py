"""What the lifecycle looks at: typed, frozen views of the objects that belong to one job."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from finetune_operator.api.fine_tune_class import FineTuneClass
from finetune_operator.domain.actions import Delete
from finetune_operator.domain.instances.prices import PriceList, table
from finetune_operator.domain.kinds import BATCH_JOB, POD
from finetune_operator.domain.line import MAY_START, Turn
from finetune_operator.domain.names import Role
from finetune_operator.domain.provisioning import EXISTING, Offer, Provision
from finetune_operator.domain.publication import Publication
from finetune_trainer.manifest import Progress


@dataclass(frozen=True, slots=True)
class Container:
    """One container of a pod, init containers included."""

    name: str
    image: str = ""
    running: bool = False
    waiting_reason: str = ""
    waiting_message: str = ""
    exit_code: int | None = None
    """None while it has not ended."""
    end_reason: str = ""
    """The kubelet's word for the end, such as OOMKilled."""
    ended: datetime | None = None
    """When it ended, by the clock of its node, to the second."""
    message: str = ""
    """The termination message."""
    ready: bool = False
    previous: "Container | None" = None
    """How it ended before it was started again; only where pods serve."""


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod of one of the job's Jobs."""

    namespace: str
    name: str
    uid: str
    role: Role
    number: int
    """Of the Job that it belongs to."""
    index: int = 0
    """Completion index: the node rank in training."""
    phase: str = "Pending"
    created: datetime | None = None
    node: str = ""
    deleted: datetime | None = None
    """When somebody asked for it to go; None unless it is being deleted."""
    unschedulable: str = ""
    """The scheduler's message, when it found no node."""
    silent: bool = False
    """Its containers ran when its node was last heard of, which is too long ago."""

    disruption: str = ""
    """Reason of the DisruptionTarget condition, such as EvictionByEvictionAPI."""
    message: str = ""
    """The pod's own message, for example why the kubelet evicted it."""
    containers: tuple[Container, ...] = ()

    @property
    def over(self) -> bool:
        """No container of it runs or will run again."""
        return self.phase in ("Succeeded", "Failed")

    def delete(self, *, force: bool = False) -> Delete:
        """The action that removes it."""
        return Delete(POD, self.namespace, self.name, self.uid, force)


@dataclass(frozen=True, slots=True)
class BatchJob:
    """A Job of ours: prepare, train or publish."""

    namespace: str
    name: str
    uid: str
    role: Role
    number: int
    parallelism: int = 1
    created: datetime | None = None
    suspended: bool = False
    """Held by a queue such as Kueue, which owns this field."""
    deleting: bool = False
    complete: bool = False
    failure: str | None = None
    """Message of Failed or FailureTarget; None while it has not failed."""
    ended: datetime | None = None

    @property
    def over(self) -> bool:
        """It has succeeded, or will start no further pod."""
        return self.complete or self.failure is not None

    def delete(self) -> Delete:
        """The action that removes it with its pods."""
        return Delete(BATCH_JOB, self.namespace, self.name, self.uid)


@dataclass(frozen=True, slots=True)
class Child:
    """An object of which only the existence, the phase and perhaps its content matter."""

    name: str
    uid: str
    phase: str = ""
    content: str = ""
    """The recipe, of the ConfigMap."""


@dataclass(frozen=True, slots=True)
class Notice:
    """Of a child: what the scheduler, the kubelet, a queue or a controller says of it."""

    about: str
    """uid of the child."""
    reason: str
    message: str
    source: str = ""
    """Who says so, such as karpenter."""


@dataclass(frozen=True, slots=True)
class Line:
    """The job among all others of the cluster that train or want to."""

    turn: Turn = MAY_START
    next_whole: str = ""
    """`namespace/name` of the other job of several nodes that could start if this one gave its
    turn back."""


@dataclass(frozen=True, slots=True)
class ModelCache:
    """The claim that the class names, in the job's namespace."""

    claim_name: str
    unusable: str = ""
    """Why it cannot be used; empty where it can."""


@dataclass(frozen=True, slots=True)
class Costs:
    """What has to be known to count what a job costs."""

    prices: PriceList = field(default_factory=table)
    """In the currency and the region of the class."""
    month_spent: Decimal = Decimal(0)
    """What the other jobs of its class in its namespace have spent this month."""
    machine: Offer | None = None
    """What the training pods run on, where nodes come with the pods."""


@dataclass(frozen=True, slots=True)
class Observed:
    """Everything about one job, as it is now."""

    finetune_class: FineTuneClass | None = None
    recipe: Child | None = None
    volume_claim: Child | None = None
    service: Child | None = None
    batch_jobs: tuple[BatchJob, ...] = ()
    pods: tuple[Pod, ...] = ()
    notices: tuple[Notice, ...] = ()
    lost_nodes: frozenset[str] = frozenset()
    """Nodes that do not answer or are no more, of those that our pods are on."""
    has_gpu_nodes: bool = False
    gpu_memory: int | None = None
    """Bytes of the smallest GPU of the cluster; None where that is not known."""
    storage_is_shared: bool | None = None
    """Whether several nodes can mount the volume; None where that is not known."""
    model_cache: ModelCache | None = None
    """What the job's namespace has of the class' model cache; None where there is none to have."""
    line: Line | None = Line()
    """None: not looked at, since it was not known yet that the job would want to start."""
    progress: Progress | None = None
    """The last that was posted since the operator started."""
    unchanged_seconds: float = 0.0
    """For how long `progress` has been posted, each time the same."""
    last_lines: str = ""
    """What the pod printed last that tells how an attempt ended, while it is to be counted."""
    leaving: tuple[str, ...] = ()
    """Objects of an earlier job of this name, which the garbage collector still has to remove."""

    taken: tuple[str, ...] = ()
    """Objects of somebody else's that have a name which this job needs."""

    publication: Publication | None = None
    costs: Costs = field(default_factory=Costs)
    nodes_wanted: bool = False
    """What `provision` works towards: nodes for the job, or none."""
    provision: Provision = EXISTING

    def jobs_of(self, role: Role) -> list[BatchJob]:
        """The Jobs of a role, the newest last."""
        found = [job for job in self.batch_jobs if job.role is role]
        return sorted(found, key=lambda job: job.number)

    def pods_of(self, role: Role, number: int | None = None) -> list[Pod]:
        """The pods of a role, or of one of its Jobs."""
        return [
            pod
            for pod in self.pods
            if pod.role is role and (number is None or pod.number == number)
        ]


def pods_gone(pods: Sequence[Pod]) -> bool:
    """Whether no container of these pods can still be running."""
    return all(pod.over for pod in pods)
