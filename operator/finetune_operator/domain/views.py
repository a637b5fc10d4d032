"""Objects as the API server gives them → the views that decisions are made on."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from finetune_operator.domain import names
from finetune_operator.domain.actions import JsonObject
from finetune_operator.domain.kinds import (
    CONFIG_MAP,
    FINE_TUNE_JOB,
    SERVICE,
    VOLUME_CLAIM,
)
from finetune_operator.domain.names import Role
from finetune_operator.domain.observed import (
    BatchJob,
    Child,
    Container,
    ModelCache,
    Notice,
    Observed,
    Pod,
)


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
        created=_time(metadata.get("creationTimestamp")),
        node=spec.get("nodeName", ""),
        deleted=_deleted(metadata),
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


def view_model_cache(claim_name: str, claim: JsonObject | None) -> ModelCache:
    """A PersistentVolumeClaim, None where the namespace does not have it."""
    if claim is None:
        return ModelCache(claim_name, f"the namespace has no volume claim {claim_name}")
    modes = claim["spec"].get("accessModes") or []
    if "ReadWriteMany" not in modes:
        found = ", ".join(modes)
        return ModelCache(claim_name, f"volume claim {claim_name} is not ReadWriteMany ({found})")
    return ModelCache(claim_name)


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
    ordered = sorted(events, key=last_seen, reverse=True)
    return tuple(
        Notice(
            about=event.get("involvedObject", {}).get("uid", ""),
            reason=event.get("reason", ""),
            message=event.get("message", ""),
            source=event.get("source", {}).get("component") or event.get("reportingComponent", ""),
        )
        for event in ordered
    )


def view_workload(workload: JsonObject) -> Notice | None:
    """Why Kueue does not run the Job of a Workload; None where it does, or does not say."""
    owner = next(iter(workload["metadata"].get("ownerReferences") or ()), None)
    conditions = {each["type"]: each for each in workload.get("status", {}).get("conditions") or ()}
    # Quota first, then the checks of the ClusterQueue.
    lacking = next(
        (
            conditions[kind]
            for kind in ("QuotaReserved", "Admitted")
            if kind in conditions and conditions[kind]["status"] == "False"
        ),
        None,
    )
    if owner is None or lacking is None:
        return None
    queue = workload["spec"].get("queueName", "")
    return Notice(owner["uid"], names.QUEUE, f"queue {queue}: {lacking['message']}")


def with_made(seen: Observed, made: Iterable[JsonObject]) -> Observed:
    """What was observed, and what was made since that outlives the attempts, as the API server
    answered.

    Raises:
        ValueError: one is of another kind.
    """
    for each in made:
        match each["kind"]:
            case CONFIG_MAP.name:
                seen = replace(seen, recipe=view_child(each))
            case VOLUME_CLAIM.name:
                seen = replace(seen, volume_claim=view_child(each))
            case SERVICE.name:
                seen = replace(seen, service=view_child(each))
            case kind:
                raise ValueError(f"a job prepares itself with no {kind}")
    return seen


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


def _deleted(metadata: JsonObject) -> datetime | None:
    """The API server writes down when the grace ends, not when it began."""
    end = _time(metadata.get("deletionTimestamp"))
    grace = timedelta(seconds=metadata.get("deletionGracePeriodSeconds") or 0)
    return end - grace if end else None


def last_seen(event: JsonObject) -> str:
    """When an event was recorded last, as the API server writes moments."""
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
        ended=_time(ended.get("finishedAt")),
        message=ended.get("message", ""),
        ready=container.get("ready", False),
        previous=_view_container({"name": container["name"], "state": last})
        if "terminated" in last
        else None,
    )


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
