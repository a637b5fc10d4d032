"""Jobs that are tried again until they succeed or say that trying cannot help."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from finetune_operator.api.fine_tune_job_status import Phase
from finetune_operator.api.reason import Reason
from finetune_operator.domain.actions import Apply, JsonObject
from finetune_operator.domain.endings import Ending, Outcome, classify
from finetune_operator.domain.lifecycle.held import is_held, watched_seconds
from finetune_operator.domain.lifecycle.work import WATCHED_SECONDS, Work
from finetune_operator.domain.manifests.common import Blueprint
from finetune_operator.domain.names import Role
from finetune_operator.domain.observed import BatchJob, pods_gone
from finetune_operator.domain.waiting import explain

FIRST_RETRY_SECONDS = 10.0
LONGEST_RETRY_SECONDS = 300.0


def back_off(tries: int) -> float:
    """Seconds to wait after that many tries, from 1: 10, 20, 40 … 300."""
    return min(FIRST_RETRY_SECONDS * 2.0 ** min(tries - 1, 10), LONGEST_RETRY_SECONDS)


@dataclass(frozen=True, slots=True)
class RetriedJob:
    """A kind of Job of which one has to complete, numbered from 1."""

    role: Role
    phase: Phase
    """Of the FineTuneJob meanwhile."""

    reason: Reason
    """What is being done, while nothing holds it up."""

    build: Callable[[Blueprint, int], JsonObject]

    def completed(self, work: Work) -> BatchJob | None:
        """The completed Job; None while there is none, with what is done about it in `work`."""
        jobs = work.seen.jobs_of(self.role)
        if not jobs:
            self.start(work, 1)
            return None
        newest = jobs[-1]
        phase = Phase.QUEUED if is_held(work, newest) else self.phase
        work.actions += [job.delete() for job in jobs[:-1] if not job.deleting]
        if newest.complete:
            return newest
        if newest.failure is None:
            self._wait(work, newest, phase)
            return None
        pods = work.seen.pods_of(self.role, newest.number)
        if pods_gone(pods):
            self.after_failure(work, newest, classify(newest, pods))
        else:
            work.again(WATCHED_SECONDS)
        return None

    def start(self, work: Work, number: int) -> None:
        """Creates the Job of that number."""
        work.actions.append(Apply(self.build(work.blueprint(), number)))
        work.goes_on(self.phase, self.reason)
        work.again(WATCHED_SECONDS)

    def _wait(self, work: Work, job: BatchJob, phase: Phase) -> None:
        found = explain(work.seen, job)
        reason = found.reason if found else self.reason
        work.goes_on(phase, reason, found.message if found else "")
        work.again(watched_seconds(work, job))

    def after_failure(self, work: Work, job: BatchJob, ending: Ending) -> None:
        """Ends the FineTuneJob where trying again cannot help, or was no help too often."""
        limit = work.spec.restarts.limit
        if ending.outcome is Outcome.TERMINAL:
            work.fail(ending.reason, ending.message)
            return
        if ending.outcome is Outcome.FAILED and job.number > limit:
            work.fail(
                Reason.RESTART_LIMIT_REACHED,
                f"{self.role.value} was tried {job.number} times (restarts.limit is {limit}),"
                f" the last time so: {ending.message}",
            )
            return
        self.try_again(work, job, ending)

    def try_again(self, work: Work, job: BatchJob, ending: Ending) -> None:
        """Creates the next Job, after a pause."""
        due = (job.ended or work.now) + timedelta(seconds=back_off(job.number))
        if work.now >= due:
            self.start(work, job.number + 1)
            return
        message = f"{ending.message}; tried again at {due:%H:%M:%S} UTC"
        work.goes_on(self.phase, ending.reason, message)
        work.again((due - work.now).total_seconds())
