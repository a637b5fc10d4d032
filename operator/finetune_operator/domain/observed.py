"""What the lifecycle looks at: typed, frozen views of the objects that belong to one job."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from finetune_operator.api.fine_tune_class import FineTuneClass
from finetune_operator.domain import names
from finetune_operator.domain.actions import Delete, JsonObject
from finetune_operator.domain.kinds import BATCH_JOB, FINE_TUNE_JOB, POD
from finetune_operator.domain.names import Role
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
    node: str = ""
    terminate_by: datetime | None = None
    """When the pod was to be gone, its grace included; None unless it is being deleted."""
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
    """An event of the cluster's about a child: what the scheduler, kubelet or controllers say."""

    about: str
    """uid of the child."""
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Line:
    """The other jobs of several nodes in the cluster that start or wait to."""

    starting: tuple[str, ...] = ()
    """`namespace/name` of jobs whose pods exist but have not all got a node."""
    ahead: tuple[str, ...] = ()
    """Jobs that wait for their turn for longer than this one."""
    waiting: tuple[str, ...] = ()
    """All other jobs that wait for their turn."""


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
    storage_is_shared: bool | None = None
    """Whether several nodes can mount the volume; None where that is not known."""
    line: Line = Line()
    progress: Progress | None = None
    """The last that was posted since the operator started."""
    leaving: tuple[str, ...] = ()
    """Objects of an earlier job of this name, which the garbage collector still has to remove."""

    taken: tuple[str, ...] = ()
    """Objects of somebody else's that have a name which this job needs."""

    publication: Publication | None = None

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


def view_pod(pod: JsonObject) -> Pod | None:
    """A pod as the API server gives it; None if its labels are not ours."""
    metadata, spec, status = pod["metadata"], pod.get("spec", {}), pod.get("status", {})
    labels = metadata.get("labels", {})
    try:
        # Pods that serve belong to no attempt.
        role, number = Role(labels.get(names.ROLE)), int(labels.get(names.ATTEMPT, "0"))
    except ValueError:
        return None
    conditions = {condition["type"]: condition for condition in status.get("conditions") or ()}
    scheduled = conditions.get("PodScheduled", {})
    disruption = conditions.get("DisruptionTarget", {})
    ready = conditions.get("Ready", {})
    of_main = status.get("containerStatuses") or ()
    statuses = [*(status.get("initContainerStatuses") or ()), *of_main]
    annotations = metadata.get("annotations", {})
    return Pod(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        role=role,
        number=number,
        index=int(annotations.get("batch.kubernetes.io/job-completion-index", 0)),
        phase=status.get("phase", "Pending"),
        node=spec.get("nodeName", ""),
        terminate_by=_time(metadata.get("deletionTimestamp")),
        unschedulable=scheduled.get("message", "Unschedulable")
        if scheduled.get("reason") in ("Unschedulable", "SchedulingGated")
        else "",
        silent=status.get("phase") == "Running"
        and ready.get("status") == "False"
        and all("running" in (each.get("state") or {}) for each in of_main),
        disruption=disruption.get("reason", "Disrupted")
        if disruption.get("status") == "True"
        else "",
        message=status.get("message", ""),
        containers=tuple(_view_container(container) for container in statuses),
    )


def view_batch_job(job: JsonObject) -> BatchJob | None:
    """A Job as the API server gives it; None if its labels are not ours."""
    metadata, spec, status = job["metadata"], job.get("spec", {}), job.get("status", {})
    labels = metadata.get("labels", {})
    try:
        role, number = Role(labels.get(names.ROLE)), int(labels.get(names.ATTEMPT, ""))
    except ValueError:
        return None
    conditions = {
        condition["type"]: condition
        for condition in status.get("conditions") or ()
        if condition["status"] == "True"
    }
    failed = conditions.get("FailureTarget") or conditions.get("Failed")
    end = conditions.get("Complete") or failed or {}
    return BatchJob(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        role=role,
        number=number,
        parallelism=spec.get("parallelism", 1),
        created=_time(metadata.get("creationTimestamp")),
        suspended=bool(spec.get("suspend")),
        deleting="deletionTimestamp" in metadata,
        complete="Complete" in conditions,
        failure=failed.get("message", failed.get("reason", "")) if failed else None,
        ended=_time(end.get("lastTransitionTime")),
    )


def view_child(child: JsonObject | None) -> Child | None:
    """A ConfigMap, claim or Service; None if there is none, or it is on its way out."""
    if child is None or "deletionTimestamp" in child["metadata"]:
        return None
    return Child(
        name=child["metadata"]["name"],
        uid=child["metadata"]["uid"],
        phase=child.get("status", {}).get("phase", ""),
        content=child.get("data", {}).get(names.RECIPE_FILE, ""),
    )


def view_notices(events: Iterable[JsonObject]) -> tuple[Notice, ...]:
    """Events of the cluster's, the newest first."""
    ordered = sorted(events, key=_last_seen, reverse=True)
    return tuple(
        Notice(
            about=event.get("involvedObject", {}).get("uid", ""),
            reason=event.get("reason", ""),
            message=event.get("message", ""),
        )
        for event in ordered
    )


def belongs_to(child: JsonObject, uid: str) -> bool:
    """Whether the object with this uid is an owner of the child."""
    owners = child["metadata"].get("ownerReferences") or ()
    return any(owner["uid"] == uid for owner in owners)


def was_of_a_job(child: JsonObject) -> bool:
    """Whether the child belongs to some FineTuneJob, or is on its way out anyway."""
    metadata = child["metadata"]
    owners = metadata.get("ownerReferences") or ()
    return "deletionTimestamp" in metadata or any(
        owner["kind"] == FINE_TUNE_JOB.name for owner in owners
    )


def pods_gone(pods: Sequence[Pod]) -> bool:
    """Whether no container of these pods can still be running."""
    return all(pod.over for pod in pods)


def _last_seen(event: JsonObject) -> str:
    series: dict[str, Any] = event.get("series") or {}
    times = (
        event.get("lastTimestamp"),
        series.get("lastObservedTime"),
        event.get("eventTime"),
        event["metadata"].get("creationTimestamp"),
    )
    return max(str(moment) for moment in times if moment)


def _view_container(container: dict[str, Any]) -> Container:
    state: dict[str, Any] = container.get("state") or {}
    waiting: dict[str, Any] = state.get("waiting") or {}
    ended: dict[str, Any] = state.get("terminated") or {}
    last: dict[str, Any] = container.get("lastState") or {}
    return Container(
        name=container["name"],
        image=container.get("image", ""),
        running="running" in state,
        waiting_reason=waiting.get("reason", ""),
        waiting_message=waiting.get("message", ""),
        exit_code=ended.get("exitCode") if ended else None,
        end_reason=ended.get("reason", ""),
        message=ended.get("message", ""),
        ready=container.get("ready", False),
        previous=_view_container({"name": container["name"], "state": last})
        if "terminated" in last
        else None,
    )


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
