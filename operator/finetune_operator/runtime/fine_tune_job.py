"""The reconciler of FineTuneJobs: look, decide, act, say so; each time from the beginning."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime

from pydantic import ValidationError

from finetune_operator.api.fine_tune_job import MANAGED_HERE, FineTuneJob
from finetune_operator.api.fine_tune_job_status import FineTuneJobStatus, Phase
from finetune_operator.cluster.errors import (
    ApiError,
    ConflictError,
    ForbiddenError,
    RefusedError,
)
from finetune_operator.domain import names
from finetune_operator.domain.actions import (
    Action,
    Apply,
    Event,
    Finalize,
    JsonObject,
    starts_a_job,
)
from finetune_operator.domain.kinds import (
    BATCH_JOB,
    FINE_TUNE_CLASS,
    FINE_TUNE_JOB,
    INFERENCE_WORKSPACE,
    POD,
    VOLUME_CLAIM,
)
from finetune_operator.domain.lifecycle import Decision, Surroundings, decide, refused
from finetune_operator.domain.lifecycle.rest import at_rest
from finetune_operator.domain.observed import Observed
from finetune_operator.domain.telling import tell
from finetune_operator.domain.views import with_made
from finetune_operator.runtime.acting import announce, carry_out, create, say
from finetune_operator.runtime.controller import (
    CHILDREN,
    Controller,
    Key,
    Watch,
    key_of,
    labelled,
)
from finetune_operator.runtime.job_metrics import count
from finetune_operator.runtime.job_traces import link, trace
from finetune_operator.runtime.line import LineBook, takes_turns
from finetune_operator.runtime.newcomers import Newcomers
from finetune_operator.runtime.observe import Said, observe
from finetune_operator.runtime.progress_book import ProgressBook
from finetune_operator.runtime.resting import Resting
from finetune_operator.runtime.tools import Tools

_log = logging.getLogger(__name__)


def controller(tools: Tools, progress: ProgressBook) -> Controller:
    """The entry for FineTuneJob in the table of controllers."""
    reconciler = FineTuneJobReconciler(tools, progress)
    parent = labelled(names.JOB)
    return Controller(
        kind=FINE_TUNE_JOB,
        watches=(
            *(Watch(kind, parent, CHILDREN, added=False) for kind in (BATCH_JOB, VOLUME_CLAIM)),
            Watch(POD, parent, CHILDREN),
            Watch(FINE_TUNE_CLASS, reconciler.jobs_of_class),
            Watch(INFERENCE_WORKSPACE, reconciler.jobs_published_to),
        ),
        reconcile=reconciler.reconcile,
        saw=reconciler.saw,
    )


class FineTuneJobReconciler:
    """Holds what all calls share; of a job no more than the watch has told, to read it less."""

    def __init__(self, tools: Tools, progress: ProgressBook) -> None:
        self._tools = tools
        self._client = tools.client
        self._progress = progress
        self._line = LineBook(tools.client, tools.view)
        self._newcomers = Newcomers()
        self._resting = Resting(tools.board)
        self._turn = asyncio.Lock()
        """Held by a job that takes turns, from looking at the line to joining those that run."""

    def saw(self, event: str | None, item: JsonObject) -> bool:
        """See runtime.controller.Controller."""
        self._newcomers.saw(event, item)
        return not self._resting.saw(event, item)

    async def reconcile(self, key: Key) -> float | None:
        """Brings one job as far as it can come now; see runtime.controller.Reconcile."""
        if key in self._resting:
            self._progress.forget(key)  # the last words of a pod that was told to end
            return None
        self._resting.looked_at(key)
        if newcomer := self._newcomers.take(key):
            try:
                return await self._bring(key, newcomer, self._begin)
            except ConflictError as error:
                _log.info("not as new as it seemed: %s", error)
        live = await self._client.get(FINE_TUNE_JOB, *key)
        if live is None:
            self._progress.forget(key)
            self._tools.board.lost(key)
            return None
        return await self._bring(key, live, self._go_on)

    async def _bring(
        self,
        key: Key,
        live: JsonObject,
        work: Callable[[Key, FineTuneJob, JsonObject], Awaitable[float | None]],
    ) -> float | None:
        try:
            job = FineTuneJob.from_stored(live)
        except ValidationError as error:
            # Only another version's schema lets this in; nothing safe can be done with it.
            _log.error("not a FineTuneJob that this version understands: %s", error)
            return None
        link(job)
        if job.spec.managed_by not in MANAGED_HERE:
            self._tools.board.lost(key)
            return None
        return None if _has_left(job) else await work(key, job, live)

    async def _begin(self, key: Key, job: FineTuneJob, live: JsonObject) -> float | None:
        """The first look at a job. Nothing was made for it yet, so nothing is read of it: what else
        has one of its names is met when its own objects are created. What the API server answers
        to that is decided on at once, and the status is written once: before the first Job is
        made, since nothing is started that is not written down.

        Raises:
            ConflictError: an object of that name is there, or the job was changed meanwhile.
        """
        around = self._surroundings()
        seen = await self._observe(key, job, around.now, new=True)
        decided, refusal = job, None
        events: list[Event] = []
        while True:
            decision = decide(decided, seen, around)
            if not all(isinstance(each, Apply) for each in decision.actions):
                return 0.0
            nothing_new = decision.status == decided.status and not decision.actions
            if decision.requeue_after != 0 or starts_a_job(decision.actions) or nothing_new:
                break
            made, refusal = await self._create(decision.actions)
            if refusal is not None:
                break
            events += decision.events
            decided = decided.model_copy(update={"status": decision.status})
            seen = with_made(seen, made)
        if refusal is None:
            live = await self._store(key, job, live, decision) or live
            job = job.model_copy(update={"status": decision.status})
            events += decision.events
            _, refusal = await self._create(decision.actions)
        if refusal is not None:
            after = self._refused(job, seen, around, refusal)
            if after is None:
                return None
            decision = after
            live = await self._store(key, job, live, decision) or live
            events += decision.events
        announce(self._tools, live, events)
        return decision.requeue_after

    async def _create(self, actions: Iterable[Action]) -> tuple[list[JsonObject], ApiError | None]:
        """All of them at once: none needs another. The objects that were made, or the refusal."""
        answers = await asyncio.gather(
            *(create(self._client, each) for each in actions if isinstance(each, Apply)),
            return_exceptions=True,
        )
        failed = [each for each in answers if isinstance(each, BaseException)]
        for each in failed:
            if not isinstance(each, ForbiddenError | RefusedError):
                raise each
        refusal = next((each for each in failed if isinstance(each, ApiError)), None)
        return [each for each in answers if not isinstance(each, BaseException)], refusal

    async def _go_on(self, key: Key, job: FineTuneJob, live: JsonObject) -> float | None:
        """Any other look: at everything."""
        decision = await self._act(key, job)
        if decision is None:
            return None
        if any(isinstance(each, Finalize) for each in decision.actions):
            return 0.0  # what was read is another version now
        await self._store(key, job, live, decision)
        announce(self._tools, live, decision.events)
        return decision.requeue_after

    async def _store(
        self, key: Key, job: FineTuneJob, live: JsonObject, decision: Decision
    ) -> JsonObject | None:
        """Writes the status, if it changed, and tells whoever counts. None if it did not."""
        written = await say(self._tools, FINE_TUNE_JOB, live, decision.status.to_dict(), ())
        if written is not None:
            self._tell(job, decision.status)
        now = job.model_copy(update={"status": decision.status})
        self._tools.board.saw(key, now, decision.budget_used)
        if decision.status.phase is not job.status.phase:
            _log.info("phase %s, was %s", decision.status.phase, job.status.phase)
        if decision.status.phase is not Phase.TRAINING:
            self._progress.forget(key)
        if written is None and not decision.actions and at_rest(job):
            self._resting.add(key, live)
        return written

    def _tell(self, job: FineTuneJob, written: FineTuneJobStatus) -> None:
        """Tells metrics and traces of a change that is stored now."""
        told = tell(job.status, written, job.metadata.creation_timestamp)
        count(job, told, written.cost.currency if written.cost else "")
        trace(job, told)

    def _surroundings(self) -> Surroundings:
        return Surroundings(
            now=self._tools.now(),
            progress_url=self._tools.settings.progress_url,
            progress_seconds=self._progress.seconds_between_writes,
        )

    async def _observe(
        self,
        key: Key,
        job: FineTuneJob,
        now: datetime,
        *,
        line_anew: bool = False,
        new: bool = False,
    ) -> Observed:
        said = Said(self._progress.get(key), self._progress.unchanged_seconds(key))
        return await observe(
            self._tools, job, said, self._line, now=now, line_anew=line_anew, new=new
        )

    async def _act(self, key: Key, job: FineTuneJob) -> Decision | None:
        """Looks, decides and acts. None when the namespace is on its way out."""
        around = self._surroundings()
        seen = await self._observe(key, job, around.now)
        decision = decide(job, seen, around)
        if not decision.starts_attempt or not takes_turns(job, seen.finetune_class):
            return await self._carry_out(job, seen, around, decision)
        async with self._turn:
            # It is this job's turn, by what was seen last; so may others have thought.
            seen = await self._observe(key, job, around.now, line_anew=True)
            return await self._carry_out(job, seen, around, decide(job, seen, around))

    async def _carry_out(
        self, job: FineTuneJob, seen: Observed, around: Surroundings, decision: Decision
    ) -> Decision | None:
        try:
            for action in decision.actions:
                await carry_out(self._tools, action)
        except (ForbiddenError, RefusedError) as error:
            return self._refused(job, seen, around, error)
        return decision

    def _refused(
        self, job: FineTuneJob, seen: Observed, around: Surroundings, error: ApiError
    ) -> Decision | None:
        if "because it is being terminated" in error.message:
            return None
        for_good = isinstance(error, RefusedError)
        return refused(job, seen, around, error.message, for_good=for_good)

    async def jobs_of_class(self, changed: JsonObject) -> Iterable[Key]:
        """Jobs that wait for this class, or that it did not allow, or not so much money, before."""
        name = changed["metadata"]["name"]
        return [
            key_of(job)
            async for page, _ in self._client.pages(FINE_TUNE_JOB)
            for job in page
            if job["spec"].get("className", "default") == name
            and job.get("status", {}).get("phase", "Pending") in ("Pending", "Suspended")
        ]

    async def jobs_published_to(self, workspace: JsonObject) -> Iterable[Key]:
        """Jobs that wait for this workspace to answer."""
        metadata = workspace["metadata"]
        return [
            key_of(job)
            async for page, _ in self._client.pages(FINE_TUNE_JOB, metadata["namespace"])
            for job in page
            if job["spec"].get("publish", {}).get("workspace", {}).get("name") == metadata["name"]
            and job.get("status", {}).get("phase") == "Publishing"
        ]


def _has_left(job: FineTuneJob) -> bool:
    """Whether it is being deleted, and nothing has to be given back for it."""
    deleted = job.metadata.deletion_timestamp is not None
    return deleted and names.NODES_FINALIZER not in job.metadata.finalizers
