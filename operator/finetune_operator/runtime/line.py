"""Which other jobs of several nodes start or wait to, all over the cluster, from live objects."""

from datetime import UTC, datetime

from finetune_operator.api.conditions import ConditionType, Reason
from finetune_operator.api.fine_tune_job import FineTuneJob
from finetune_operator.cluster.client import Client
from finetune_operator.domain import conditions, names
from finetune_operator.domain.actions import JsonObject
from finetune_operator.domain.kinds import BATCH_JOB, FINE_TUNE_JOB, POD
from finetune_operator.domain.names import Role
from finetune_operator.domain.observed import Line
from finetune_operator.domain.views import view_batch_job

_LATEST = datetime.max.replace(tzinfo=UTC)


async def look_at_line(client: Client, job: FineTuneJob) -> Line:
    """The line as this job sees it; the job itself is not in it."""
    me = (job.metadata.namespace, job.metadata.name)
    since = _waits_since(job) or _LATEST
    waiting = sorted(
        (moment, other) for other, moment in (await _waiting(client)).items() if other != me
    )
    return Line(
        starting=tuple("/".join(other) for other in await _starting(client) if other != me),
        ahead=tuple("/".join(other) for moment, other in waiting if (moment, other) < (since, me)),
        waiting=tuple("/".join(other) for _, other in waiting),
    )


async def _waiting(client: Client) -> dict[tuple[str, str], datetime]:
    """Jobs that were told to wait for their turn, and since when."""
    found: dict[tuple[str, str], datetime] = {}
    for each in await client.list_objects(FINE_TUNE_JOB):
        if each.get("status", {}).get("phase") != "Queued":
            continue
        other = FineTuneJob.from_stored(each)
        since = _waits_since(other)
        if since is not None and not other.spec.suspend:
            found[other.metadata.namespace, other.metadata.name] = since
    return found


def _waits_since(job: FineTuneJob) -> datetime | None:
    admitted = conditions.find(job.status.conditions, ConditionType.ADMITTED)
    if admitted is None or admitted.reason != Reason.WAITING_FOR_TURN:
        return None
    return admitted.last_transition_time


async def _starting(client: Client) -> list[tuple[str, str]]:
    """Owners of training Jobs of several nodes of which some pod has no node yet."""
    selector = f"{names.ROLE}={Role.TRAIN.value}"
    found: list[tuple[str, str]] = []
    for each in await client.list_objects(BATCH_JOB, labels=selector):
        view = view_batch_job(each)
        if view is None or view.parallelism == 1 or view.over or _is_ready(each):
            continue
        own = f"{selector},batch.kubernetes.io/job-name={view.name}"
        pods = await client.list_objects(POD, view.namespace, labels=own)
        placed = [pod for pod in pods if pod.get("spec", {}).get("nodeName")]
        if len(placed) < view.parallelism:
            found.append((view.namespace, each["metadata"]["labels"][names.JOB]))
    return sorted(found)


def _is_ready(batch_job: JsonObject) -> bool:
    """Whether all of its pods run, in which case they need not be counted."""
    ready: int = batch_job.get("status", {}).get("ready") or 0
    return ready >= int(batch_job["spec"]["parallelism"])
