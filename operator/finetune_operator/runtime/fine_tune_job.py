"""The reconciler of FineTuneJobs: look, decide, act, say so; each time from the beginning."""

import asyncio
import logging
from collections.abc import Iterable
from datetime import datetime

from pydantic import ValidationError

from finetune_operator.api.fine_tune_job import MANAGED_HERE, FineTuneJob
from finetune_operator.api.fine_tune_job_status import FineTuneJobStatus, Phase
from finetune_operator.cluster.errors import ForbiddenError, RefusedError
from finetune_operator.domain import names
from finetune_operator.domain.actions import Finalize, JsonObject
from finetune_operator.domain.kinds import (
    BATCH_JOB,
    FINE_TUNE_CLASS,
    FINE_TUNE_JOB,
    INFERENCE_WORKSPACE,
    POD,
    VOLUME_CLAIM,
)
from finetune_operator.domain.lifecycle import Decision, Surroundings, decide, refused
from finetune_operator.domain.observed import Observed
from finetune_operator.domain.telling import tell
from finetune_operator.runtime.acting import carry_out, say
from finetune_operator.runtime.controller import CHILDREN, Controller, Key, Watch, labelled
from finetune_operator.runtime.job_board import JOB_BOARD
from finetune_operator.runtime.job_metrics import count
from finetune_operator.runtime.job_traces import link, trace
from finetune_operator.runtime.line import LineBook, takes_turns
from finetune_operator.runtime.observe import Said, observe
from finetune_operator.runtime.progress_book import ProgressBook
from finetune_operator.runtime.tools import Tools

_log = logging.getLogger(__name__)


def controller(tools: Tools, progress: ProgressBook) -> Controller:
    """The entry for FineTuneJob in the table of controllers."""
    reconciler = FineTuneJobReconciler(tools, progress)
    parent = labelled(names.JOB)
    return Controller(
        kind=FINE_TUNE_JOB,
        watches=(
            *(Watch(kind, parent, CHILDREN) for kind in (BATCH_JOB, POD, VOLUME_CLAIM)),
            Watch(FINE_TUNE_CLASS, reconciler.jobs_of_class),
            Watch(INFERENCE_WORKSPACE, reconciler.jobs_published_to),
        ),
        reconcile=reconciler.reconcile,
    )


class FineTuneJobReconciler:
    """Holds what all calls share; nothing of a job is remembered between two of them."""

    def __init__(self, tools: Tools, progress: ProgressBook) -> None:
        self._tools = tools
        self._client = tools.client
        self._progress = progress
        self._line = LineBook(tools.client, tools.view)
        self._turn = asyncio.Lock()
        """Held by a job that takes turns, from looking at the line to joining those that run."""

    async def reconcile(self, key: Key) -> float | None:
        """Brings one job as far as it can come now; see runtime.controller.Reconcile."""
        live = await self._client.get(FINE_TUNE_JOB, *key)
        if live is None:
            self._progress.forget(key)
            JOB_BOARD.lost(key)
            return None
        try:
            job = FineTuneJob.from_stored(live)
        except ValidationError as error:
            # Only another version's schema lets this in; nothing safe can be done with it.
            _log.error("not a FineTuneJob that this version understands: %s", error)
            return None
        link(job)
        if job.spec.managed_by not in MANAGED_HERE:
            JOB_BOARD.lost(key)
            return None
        decision = None if _has_left(job) else await self._act(key, job)
        if decision is None:
            return None
        if any(isinstance(each, Finalize) for each in decision.actions):
            return 0.0  # what was read is another version now
        status = decision.status.to_dict()
        if await say(self._tools, FINE_TUNE_JOB, live, status, decision.events):
            self._tell(job, decision.status)
        JOB_BOARD.saw(key, job.model_copy(update={"status": decision.status}))
        if decision.status.phase is not job.status.phase:
            _log.info("phase %s, was %s", decision.status.phase, job.status.phase)
        if decision.status.phase is not Phase.TRAINING:
            self._progress.forget(key)
        return decision.requeue_after

    def _tell(self, job: FineTuneJob, written: FineTuneJobStatus) -> None:
        """Tells metrics and traces of a change that is stored now."""
        told = tell(job.status, written, job.metadata.creation_timestamp)
        count(job, told)
        trace(job, told)

    async def _observe(
        self, key: Key, job: FineTuneJob, now: datetime, *, line_anew: bool = False
    ) -> Observed:
        said = Said(self._progress.get(key), self._progress.unchanged_seconds(key))
        return await observe(self._tools, job, said, self._line, now=now, line_anew=line_anew)

    async def _act(self, key: Key, job: FineTuneJob) -> Decision | None:
        """Looks, decides and acts. None when the namespace is on its way out."""
        now = self._tools.now()
        around = Surroundings(
            now=now,
            progress_url=self._tools.settings.progress_url,
            progress_seconds=self._progress.seconds_between_writes,
        )
        seen = await self._observe(key, job, now)
        decision = decide(job, seen, around)
        if not decision.starts_attempt or not takes_turns(job, seen.finetune_class):
            return await self._carry_out(job, seen, around, decision)
        async with self._turn:
            # It is this job's turn, by what was seen last; so may others have thought.
            seen = await self._observe(key, job, now, line_anew=True)
            return await self._carry_out(job, seen, around, decide(job, seen, around))

    async def _carry_out(
        self, job: FineTuneJob, seen: Observed, around: Surroundings, decision: Decision
    ) -> Decision | None:
        try:
            for action in decision.actions:
                await carry_out(self._client, action)
        except (ForbiddenError, RefusedError) as error:
            if "because it is being terminated" in error.message:
                return None
            for_good = isinstance(error, RefusedError)
            return refused(job, seen, around, error.message, for_good=for_good)
        return decision

    async def jobs_of_class(self, changed: JsonObject) -> Iterable[Key]:
        """Jobs that wait for this class, or that it did not allow, or not so much money, before."""
        name = changed["metadata"]["name"]
        return [
            _key(job)
            for job in await self._client.list_objects(FINE_TUNE_JOB)
            if job["spec"].get("className", "default") == name
            and job.get("status", {}).get("phase", "Pending") in ("Pending", "Suspended")
        ]

    async def jobs_published_to(self, workspace: JsonObject) -> Iterable[Key]:
        """Jobs that wait for this workspace to answer."""
        metadata = workspace["metadata"]
        return [
            _key(job)
            for job in await self._client.list_objects(FINE_TUNE_JOB, metadata["namespace"])
            if job["spec"].get("publish", {}).get("workspace", {}).get("name") == metadata["name"]
            and job.get("status", {}).get("phase") == "Publishing"
        ]


def _has_left(job: FineTuneJob) -> bool:
    """Whether it is being deleted, and nothing has to be given back for it."""
    deleted = job.metadata.deletion_timestamp is not None
    return deleted and names.NODES_FINALIZER not in job.metadata.finalizers


def _key(job: JsonObject) -> Key:
    return Key(job["metadata"]["namespace"], job["metadata"]["name"])
