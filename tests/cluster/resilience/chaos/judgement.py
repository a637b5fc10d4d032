"""What has to be so when the storm is over."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence

from tests.cluster.kube import Object, condition, counted, is_true
from tests.cluster.resilience.audit import Event, resource
from tests.cluster.resilience.chaos.pod_logs import PodLogs

EARNED = {
    "steady": ("Succeeded", "Succeeded"),
    "paused": ("Succeeded", "Succeeded"),
    "diverges": ("Failed", "Diverged"),
    "bad-data": ("Failed", "DataError"),
    "given": ("Succeeded", "Succeeded"),
}
"""Condition and reason with which a job of that name ends; of a deleted one nothing is left."""
EVENTS_OF_AN_ATTEMPT = 12
"""That may be written about a job for each of its attempts, and once for all else."""


def is_over(job: Object) -> bool:
    return is_true(job, "Succeeded") or is_true(job, "Failed")


def all_are_over(jobs: Collection[Object], casts: int) -> bool:
    return len(jobs) == casts * len(EARNED) and all(is_over(job) for job in jobs)


def undeserved(job: Object) -> Iterator[str]:
    """How the end of a job differs from the one that its manifest has earned."""
    name = job["metadata"]["name"]
    kind, reason = EARNED[name.rpartition("-")[0]]
    found = condition(job, kind)
    if (found.get("status"), found.get("reason")) != ("True", reason):
        yield f"{name} should be {kind} ({reason}): {job.get('status')}"


def miscounted(job: Object, killed: Sequence[tuple[str, int]]) -> Iterator[str]:
    """Whether each attempt ended once, and no failure is counted that was none."""
    name = job["metadata"]["name"]
    if "attempts" not in job["status"]:
        return
    current, failures, disruptions = counted(job)
    succeeded = is_true(job, "Trained")
    if current != failures + disruptions + succeeded:
        yield f"{name}: {current} attempts, {failures} failures, {disruptions} disruptions"
    own = is_true(job, "Failed")
    if failures > len([each for each, _ in killed if each == name]) + own:
        yield f"{name}: {failures} failures, but {killed} were killed"


def trained_too_often(name: str, logs: PodLogs, interval: int) -> Iterator[str]:
    """Where an attempt went on further back than a checkpoint before the end of the last one."""
    attempts = logs.attempts(name)
    pairs = zip(list(attempts.items())[:-1], list(attempts.items())[1:], strict=True)
    for (_, before), (number, after) in pairs:
        repeated = before.last - after.first + 1
        if after.first != after.resumed_from + 1 or not 0 <= repeated <= interval:
            yield (
                f"{name}: attempt {number} went on from step {after.resumed_from} with"
                f" {after.first}, after {before.last}"
            )


def made_twice(requests: Iterable[Event]) -> dict[str, int]:
    """Jobs of which there was more than one, by the API server's own record."""
    made = Counter(
        event["objectRef"]["name"]
        for event in requests
        if resource(event) == "jobs" and event.get("responseStatus", {}).get("code") == 201
    )
    return {name: times for name, times in made.items() if times > 1}


def storms(jobs: Iterable[Object], events: Iterable[Object]) -> Iterator[str]:
    """Jobs about which more was said than anybody reads."""
    said: Counter[str] = Counter()
    for event in events:
        if event.get("reportingComponent") == "finetune-operator":
            said[event["involvedObject"]["name"]] += event.get("count", 1)
    for job in jobs:
        name = job["metadata"]["name"]
        attempts = job["status"].get("attempts", {}).get("current", 0)
        if said[name] > EVENTS_OF_AN_ATTEMPT * (attempts + 1):
            yield f"{name}: {said[name]} events in {attempts} attempts"
