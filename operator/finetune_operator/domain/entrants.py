"""Jobs as the API server lists them → where each stands in the line."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from finetune_operator.api.conditions import ConditionType
from finetune_operator.api.fine_tune_job import MANAGED_HERE
from finetune_operator.api.reason import Reason
from finetune_operator.domain import names
from finetune_operator.domain.actions import JsonObject
from finetune_operator.domain.line import Entrant, Key, Limits, Standing

OVER = frozenset({ConditionType.TRAINED, ConditionType.SUCCEEDED, ConditionType.FAILED})
GAVE_PLACE_UP = frozenset({Reason.WAITING_FOR_TURN, Reason.SUSPENDED})


def key_of(job: JsonObject) -> Key:
    """What names it."""
    return job["metadata"]["namespace"], job["metadata"]["name"]


def view_entrant(
    job: JsonObject, under_way: Standing | None, priorities: Mapping[str, int]
) -> Entrant | None:
    """A FineTuneJob; None if it is not prepared yet, suspended, trained or another controller's.

    Args:
        under_way: how far its attempt is that has not ended; None: there is none.
        priorities: value of each PriorityClass, by name; "" for pods that name none.
    """
    metadata, spec, status = job["metadata"], job["spec"], job.get("status") or {}
    conditions = {each["type"]: each for each in status.get("conditions") or ()}
    begun = (status.get("attempts") or {}).get("current", 0) > 0
    looked = ConditionType.TRAINED in conditions  # for an earlier result; see readiness.py
    prepared = (status.get("resolved") or {}).get("datasetDigest") and (looked or begun)
    over = any(conditions.get(kind, {}).get("status") == "True" for kind in OVER)
    elsewhere = spec.get("managedBy") not in MANAGED_HERE
    if not prepared or over or elsewhere or "deletionTimestamp" in metadata:
        return None
    if under_way is None and spec.get("suspend"):
        return None
    compute = spec.get("compute") or {}
    template = compute.get("podTemplate") or {}
    return Entrant(
        namespace=metadata["namespace"],
        name=metadata["name"],
        class_name=spec.get("className", "default"),
        standing=under_way or _standing(job, conditions.get(ConditionType.ADMITTED, {})),
        priority=priorities.get(template.get("priorityClassName", ""), 0),
        since=_since(conditions.get(ConditionType.ADMITTED, {})),
        whole=is_whole(compute.get("nodes", 1), metadata.get("labels") or {}),
    )


def is_whole(nodes: int, labels: Mapping[str, str]) -> bool:
    """Whether a job takes turns in starting: Kueue starts what it admits, all of it."""
    return nodes > 1 and names.QUEUE not in labels


def view_limits(classes: Iterable[JsonObject]) -> dict[str, Limits]:
    """The limits of each FineTuneClass that has any, by name."""
    found: dict[str, Limits] = {}
    for each in classes:
        allowed = each["spec"].get("allowed") or {}
        limits = Limits(allowed.get("maxRunningJobs"), allowed.get("maxRunningJobsPerNamespace"))
        if limits != Limits():
            found[each["metadata"]["name"]] = limits
    return found


def view_priorities(classes: Iterable[JsonObject]) -> dict[str, int]:
    """The value of each PriorityClass by name, and under "" that of the default one."""
    found: dict[str, int] = {}
    for each in classes:
        found[each["metadata"]["name"]] = each["value"]
        if each.get("globalDefault"):
            found[""] = each["value"]
    return found


def _standing(job: JsonObject, admitted: JsonObject) -> Standing:
    """Of a job with no attempt under way: between two of them it keeps its place, and from when it
    asks for nodes."""
    if names.NODES_FINALIZER in job["metadata"].get("finalizers", ()):
        return Standing.RUNS
    begun = ((job.get("status") or {}).get("attempts") or {}).get("current", 0) > 0
    return (
        Standing.RUNS if begun and admitted.get("reason") not in GAVE_PLACE_UP else Standing.WAITS
    )


def _since(admitted: JsonObject) -> datetime | None:
    if admitted.get("reason") != Reason.WAITING_FOR_TURN:
        return None
    return datetime.fromisoformat(admitted["lastTransitionTime"])
