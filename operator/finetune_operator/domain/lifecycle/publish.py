"""Publish: push the result, then hand it to whoever serves it. No trainer pod lives meanwhile."""

from collections.abc import Sequence

from finetune_operator.api.conditions import ConditionType
from finetune_operator.api.fine_tune_job_status import Artifact, Phase, Published
from finetune_operator.api.output import PublishType
from finetune_operator.api.reason import Reason
from finetune_operator.domain import conditions
from finetune_operator.domain.lifecycle.prepare import last_words
from finetune_operator.domain.lifecycle.retried import RetriedJob
from finetune_operator.domain.lifecycle.train import record_evaluation
from finetune_operator.domain.lifecycle.work import WATCHED_SECONDS, Work
from finetune_operator.domain.manifests.publish import PUBLISH, publish_job
from finetune_operator.domain.names import Role
from finetune_operator.domain.publication import Publication
from finetune_trainer import manifest

PUSH = RetriedJob(Role.PUBLISH, Phase.PUBLISHING, Reason.PUBLISHING, publish_job)


def publish(work: Work) -> bool:
    """Done when the condition Published says so."""
    if work.holds(ConditionType.PUBLISHED):
        return True
    if not work.status.artifacts and not _push(work):
        return False
    if gate := _failed_gate(work):
        uri = work.status.artifacts[0].uri
        message = f"{gate}: nothing is published; the artifact is kept as {uri}"
        work.set(ConditionType.PUBLISHED, False, Reason.GATE_FAILED, message)
        work.fail(Reason.GATE_FAILED, message)
        return False
    if work.spec.publish.type is PublishType.NONE:
        work.set(ConditionType.PUBLISHED, True, Reason.PUBLISHED, _pushed(work.status.artifacts))
        return True
    if work.seen.publication is None:
        # Only now is it known what to publish; the next call will have looked.
        work.again(0)
        return False
    return _hand_over(work, work.seen.publication)


def _failed_gate(work: Work) -> str:
    evaluated = conditions.find(work.status.conditions, ConditionType.EVALUATED)
    if evaluated is None or evaluated.reason != Reason.GATE_FAILED:
        return ""
    return evaluated.message


def _push(work: Work) -> bool:
    work.set(ConditionType.PUBLISHED, False, Reason.PUBLISHING)
    job = PUSH.completed(work)
    if job is None:
        return False
    said = last_words(work.seen.pods_of(Role.PUBLISH, job.number), PUBLISH, manifest.Published)
    if said is None:
        # The pod is gone and the digest with it; pushing again gives the same one.
        PUSH.start(work, job.number + 1)
        return False
    artifacts = artifacts_of(said)
    work.update(artifacts=artifacts)
    work.event(Reason.PUBLISHED, _pushed(artifacts))
    if said.unrecorded:
        message = f"no later job will find this result: {said.unrecorded}"
        work.event(Reason.NOT_REUSED, message, warning=True)
    if not work.holds(ConditionType.EVALUATED):
        record_evaluation(work, said.completion)
    work.goes_on(Phase.PUBLISHING, Reason.PUBLISHING)
    return True


def artifacts_of(said: manifest.Published) -> tuple[Artifact, ...]:
    """What was pushed, by digest."""
    return tuple(
        Artifact(kind=image.kind, uri=said.uri(image), bytes=image.bytes) for image in said.images
    )


def _pushed(artifacts: Sequence[Artifact]) -> str:
    """The first by its name; all of them are in status.artifacts."""
    more = f" and {len(artifacts) - 1} more, see status.artifacts" if len(artifacts) > 1 else ""
    return f"pushed as {artifacts[0].uri}{more}"


def _hand_over(work: Work, publication: Publication) -> bool:
    reason = publication.reason
    work.actions += publication.actions
    work.events += publication.events
    if publication.revision or publication.endpoint:
        work.update(
            published=Published(
                revision=publication.revision or None, endpoint=publication.endpoint or None
            )
        )
    work.set(ConditionType.PUBLISHED, publication.done, reason, publication.message)
    if not publication.done:
        wait = work.stalls if publication.stalled else work.goes_on
        wait(Phase.PUBLISHING, reason, publication.message)
        work.again(publication.requeue_after or WATCHED_SECONDS)
    return publication.done
