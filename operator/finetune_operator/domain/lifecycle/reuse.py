"""Reuse: has the same been trained before? Then its result is taken, and nothing is trained.

It is looked for in the job's own repository, so that it is found where every status is lost. What
stands in the way of looking is told, and never keeps a job from training.
"""

from finetune_operator.api.conditions import ConditionType
from finetune_operator.api.fine_tune_job import ReusePolicy
from finetune_operator.api.fine_tune_job_status import Phase
from finetune_operator.api.reason import Reason
from finetune_operator.domain import conditions, progress
from finetune_operator.domain.endings import Ending, Outcome
from finetune_operator.domain.lifecycle import attempts
from finetune_operator.domain.lifecycle.prepare import last_words
from finetune_operator.domain.lifecycle.publish import artifacts_of
from finetune_operator.domain.lifecycle.retried import RetriedJob
from finetune_operator.domain.lifecycle.train import record_evaluation
from finetune_operator.domain.lifecycle.work import Work
from finetune_operator.domain.manifests.publish import REUSE, reuse_job
from finetune_operator.domain.names import Role
from finetune_operator.domain.observed import BatchJob
from finetune_trainer.manifest import Looked, Published

LOOKS = 3
"""Tries, 10 and 20 seconds apart. Training costs more than that, and waiting for a registry that
stays away would cost the job."""


class _Look(RetriedJob):
    """A Job of which one should complete; without one, the job trains."""

    def after_failure(self, work: Work, job: BatchJob, ending: Ending) -> None:
        """Whatever it was, it is no reason to fail."""
        if ending.outcome is Outcome.TERMINAL or job.number >= LOOKS:
            _not_reused(work, f"no earlier result could be looked for: {ending.message}")
        else:
            self.try_again(work, job, ending)


LOOK = _Look(Role.REUSE, Phase.PREPARING, Reason.LOOKING, reuse_job)


def reuse(work: Work) -> bool:
    """Done when the condition Trained says whether an earlier result is used, or training began."""
    if _is_known(work) or attempts.newest(work):
        return True
    if work.spec.reuse_policy is ReusePolicy.ALWAYS:
        work.set(ConditionType.TRAINED, False, Reason.PENDING, "spec.reusePolicy is Always")
        return True
    if work.result_key() is None:
        _without_key(work)
        return True
    job = LOOK.completed(work)
    if job is None:
        return _is_known(work)
    said = last_words(work.seen.pods_of(Role.REUSE, job.number), REUSE, Looked)
    if said is None:
        # The pod is gone and what it said with it; looking again gives the same.
        LOOK.start(work, job.number + 1)
        return False
    if said.found is not None:
        _take(work, said, said.found)
    elif said.problem:
        _not_reused(work, said.problem)
    else:
        work.set(ConditionType.TRAINED, False, Reason.NOTHING_TO_REUSE)
    return True


def _is_known(work: Work) -> bool:
    return conditions.find(work.status.conditions, ConditionType.TRAINED) is not None


def _take(work: Work, said: Looked, found: Published) -> None:
    """As though it had been trained and pushed."""
    artifacts = artifacts_of(found)
    message = f"the result of FineTuneJob {said.job} is used again: {artifacts[0].uri}"
    if ended := progress.ending(found.completion):
        message += f"; {ended}"
    record_evaluation(work, found.completion)
    work.set(ConditionType.TRAINED, True, Reason.REUSED, message)
    if work.status.progress is not None:
        steps = f"{work.status.progress.steps} (reused)"
        work.update(progress=work.status.progress.model_copy(update={"steps": steps}))
    work.update(artifacts=artifacts)
    work.event(Reason.REUSED, message)
    work.goes_on(Phase.PUBLISHING, Reason.PUBLISHING)


def _not_reused(work: Work, message: str) -> None:
    work.set(ConditionType.TRAINED, False, Reason.NOT_REUSED, message)
    work.event(Reason.NOT_REUSED, f"it is trained: {message}", warning=True)


def _without_key(work: Work) -> None:
    """No warning: nothing went wrong, and every job of the class would say it."""
    image = work.resolved.trainer_image
    message = (
        f"FineTuneClass {work.spec.class_name} names the trainer image {image} by a tag, which may"
        " stand for another image tomorrow: name it by digest, and results can be used again"
    )
    work.set(ConditionType.TRAINED, False, Reason.NOT_REUSED, message)
    work.event(Reason.NOT_REUSED, f"it is trained: {message}")
