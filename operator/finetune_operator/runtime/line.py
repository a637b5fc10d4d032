"""Which jobs train, start to, or wait for their turn, of all namespaces, from live objects."""

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from finetune_operator.api.fine_tune_class import FineTuneClass
from finetune_operator.api.fine_tune_job import FineTuneJob
from finetune_operator.cluster.client import Client
from finetune_operator.domain import names
from finetune_operator.domain.actions import JsonObject
from finetune_operator.domain.entrants import (
    is_whole,
    key_of,
    view_entrant,
    view_limits,
    view_priorities,
)
from finetune_operator.domain.kinds import (
    BATCH_JOB,
    FINE_TUNE_JOB,
    POD,
)
from finetune_operator.domain.line import (
    MAY_START,
    Entrant,
    Hold,
    Key,
    Limits,
    Standing,
    Turn,
    turns,
)
from finetune_operator.domain.names import Role
from finetune_operator.domain.observed import Line
from finetune_operator.domain.views import view_batch_job
from finetune_operator.runtime.cluster_view import ClusterView

SEEN_SECONDS = 4.0
"""How old may be what those are told who wait. Whoever may start looks anew."""


def takes_turns(job: FineTuneJob, its_class: FineTuneClass | None) -> bool:
    """Whether there is anything that could hold the job."""
    allowed = its_class.spec.allowed if its_class else None
    limited = allowed is not None and (
        allowed.max_running_jobs or allowed.max_running_jobs_per_namespace
    )
    return bool(limited) or is_whole(job.spec.compute.nodes, job.metadata.labels)


@dataclass(frozen=True, slots=True)
class _Look:
    """The line at one moment."""

    entrants: tuple[Entrant, ...]
    limits: dict[str, Limits]
    turns: dict[Key, Turn]


class LineBook:
    """One look at the line serves all that wait: a thousand jobs do not list a thousand each."""

    def __init__(
        self, client: Client, view: ClusterView, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._client = client
        self._view = view
        self._clock = clock
        self._looking = asyncio.Lock()
        self._last: _Look | None = None
        self._at = 0.0

    async def line_of(self, job: FineTuneJob, *, anew: bool, wants_to_start: bool) -> Line:
        """The line as this job sees it.

        Args:
            anew: what was seen before does not count.
            wants_to_start: the job has no attempt under way.
        """
        look = await self._look(0.0 if anew else SEEN_SECONDS)
        me = (job.metadata.namespace, job.metadata.name)
        if wants_to_start and me not in look.turns:
            # Not listed as waiting: what was seen is older than the job's wish, or it keeps its
            # place between two attempts.
            look = _with_me(look if anew else await self._look(0.0), me)
        first = min(
            (key for key, turn in look.turns.items() if turn.hold is Hold.START and key != me),
            key=lambda key: look.turns[key].place,
            default=None,
        )
        return Line(look.turns.get(me, MAY_START), "/".join(first or ()))

    async def _look(self, seconds: float) -> _Look:
        async with self._looking:
            if self._last is None or self._clock() - self._at >= seconds:
                began = self._clock()
                self._last = await _look(self._client, self._view)
                self._at = began
            return self._last


def _with_me(look: _Look, me: Key) -> _Look:
    entrants = tuple(
        replace(each, standing=Standing.WAITS, keeps_place=each.standing is not Standing.WAITS)
        if each.key == me
        else each
        for each in look.entrants
    )
    return replace(look, entrants=entrants, turns=turns(entrants, look.limits))


async def _look(client: Client, view: ClusterView) -> _Look:
    jobs, batch_jobs, classes, priorities = await asyncio.gather(
        client.list_objects(FINE_TUNE_JOB),
        client.list_objects(BATCH_JOB, labels=f"{names.ROLE}={Role.TRAIN.value}"),
        view.classes(),
        view.priorities(),
    )
    whole = {
        key_of(each)
        for each in jobs
        if is_whole(
            each["spec"].get("compute", {}).get("nodes", 1), each["metadata"].get("labels") or {}
        )
    }
    under_way = await _under_way(client, batch_jobs, whole)
    values = view_priorities(priorities)
    entering = (view_entrant(each, under_way.get(key_of(each)), values) for each in jobs)
    entrants = tuple(each for each in entering if each is not None)
    limits = view_limits(classes)
    return _Look(entrants, limits, turns(entrants, limits))


async def _under_way(
    client: Client, batch_jobs: Iterable[JsonObject], whole: set[Key]
) -> dict[Key, Standing]:
    """Jobs whose attempt has not ended, and whether all of its pods have a node."""
    found: dict[Key, Standing] = {}
    for each in batch_jobs:
        view = view_batch_job(each)
        if view is None or view.over:
            continue
        key = (view.namespace, each["metadata"]["labels"][names.JOB])
        found[key] = Standing.RUNS
        if key in whole and not _is_ready(each):
            own = f"{names.ROLE}={Role.TRAIN.value},batch.kubernetes.io/job-name={view.name}"
            pods = await client.list_objects(POD, view.namespace, labels=own)
            placed = [pod for pod in pods if pod.get("spec", {}).get("nodeName")]
            if len(placed) < view.parallelism:
                found[key] = Standing.STARTS
    return found


def _is_ready(batch_job: JsonObject) -> bool:
    """Whether all of its pods run, in which case they need not be counted."""
    ready: int = batch_job.get("status", {}).get("ready") or 0
    return ready >= int(batch_job["spec"]["parallelism"])
