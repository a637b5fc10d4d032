"""Prepare: fetch model and data once, and refuse in seconds what could not be trained."""

from typing import TypeVar

from pydantic import ValidationError

from finetune_operator.api.conditions import ConditionType
from finetune_operator.api.fine_tune_job_status import Phase, Plan
from finetune_operator.api.reason import Reason
from finetune_operator.domain.lifecycle.retried import RetriedJob
from finetune_operator.domain.lifecycle.work import Work
from finetune_operator.domain.manifests.prepare import (
    CHECK,
    FETCH_ADAPTER,
    FETCH_MODEL,
    prepare_job,
)
from finetune_operator.domain.names import Role
from finetune_operator.domain.observed import Pod
from finetune_operator.domain.planning import with_time
from finetune_operator.domain.progress import at_start
from finetune_trainer.frozen import Frozen
from finetune_trainer.manifest import Checked, Fetched
from finetune_trainer.recipe import Recipe

PREPARE = RetriedJob(Role.PREPARE, Phase.PREPARING, Reason.PREPARING, prepare_job)

Said = TypeVar("Said", bound=Frozen)


def prepare(work: Work) -> bool:
    """Done when the digest of the data is in the status."""
    if work.resolved.dataset_digest is not None:
        return True
    work.set(ConditionType.STARTED, True, Reason.PREPARING)
    job = PREPARE.completed(work)
    if job is None:
        return False
    pods = work.seen.pods_of(Role.PREPARE, job.number)
    fetched = last_words(pods, FETCH_MODEL, Fetched)
    adapter = last_words(pods, FETCH_ADAPTER, Fetched)
    checked = last_words(pods, CHECK, Checked)
    unknown = work.spec.model.adapter_uri is not None and adapter is None
    if fetched is None or checked is None or unknown:
        # The pod is gone and what it said with it; saying it again takes seconds.
        PREPARE.start(work, job.number + 1)
        return False
    resolved = work.resolved.model_copy(
        update={
            "model_revision": fetched.revision or fetched.digest,
            "adapter_revision": (adapter.revision or adapter.digest) if adapter else None,
            "dataset_digest": checked.dataset_digest,
        }
    )
    if fetched.without_cache:
        message = f"{fetched.without_cache}: the model was fetched into the job's own volume"
        work.event(Reason.PREPARING, message, warning=True)
    if checked.leaks.message:
        work.event(Reason.HELD_OUT_LEARNED, checked.leaks.message, warning=True)
    work.update(
        resolved=resolved,
        progress=at_start(checked.total_steps, work.now),
        plan=_timed(work, checked.total_steps),
    )
    return True


def _timed(work: Work, steps: int) -> Plan:
    """The plan, now that the steps are counted."""
    if work.seen.recipe is None:
        return work.plan
    recipe = Recipe.model_validate_json(work.seen.recipe.content)
    return with_time(work.plan, recipe, steps)


def last_words(pods: list[Pod], container: str, kind: type[Said]) -> Said | None:
    """What a container said when it ended well, from whichever pod still knows."""
    for pod in sorted(pods, key=lambda pod: pod.index):
        for each in pod.containers:
            if each.name == container and each.exit_code == 0:
                try:
                    return kind.model_validate_json(each.message)
                except ValidationError:
                    continue
    return None
