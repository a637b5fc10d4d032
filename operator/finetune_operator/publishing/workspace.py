"""Publishes into an InferenceWorkspace: one InferenceRevision for each result.

The workspace is the user's: it is made when there is none and never changed afterwards. Neither
object belongs to the FineTuneJob, whose deletion takes no served model down.
"""

from finetune_operator.api.conditions import ConditionType
from finetune_operator.api.fine_tune_job import FineTuneJob
from finetune_operator.api.fine_tune_job_status import Artifact, Published, Resolved
from finetune_operator.api.inference_revision import (
    Adapter,
    InferenceRevision,
    InferenceRevisionSpec,
    Provenance,
)
from finetune_operator.api.inference_workspace import InferenceWorkspace
from finetune_operator.api.method import published_rank
from finetune_operator.api.reason import Reason
from finetune_operator.api.sources import ModelSource
from finetune_operator.domain.actions import Create, JsonObject
from finetune_operator.domain.conditions import find, is_true
from finetune_operator.domain.inference.routing import number_of
from finetune_operator.domain.inference.server import WORKSPACE, endpoint
from finetune_operator.domain.kinds import INFERENCE_REVISION, INFERENCE_WORKSPACE
from finetune_operator.domain.names import JOB, JOB_UID, MANAGED_BY, OPERATOR
from finetune_operator.domain.publication import Publication
from finetune_operator.publishing.publisher import Observed, Read, image_of
from finetune_trainer.manifest import ArtifactKind

_POLL_SECONDS = 60.0
"""A net only: the workspace's events wake the jobs that wait for it."""


_REASONS = {reason.value: reason for reason in Reason}
_TELLING = (ConditionType.REVISIONS_ACCEPTED, ConditionType.READY, ConditionType.AVAILABLE)
"""Conditions that tell why a revision does not answer, the most telling first."""


class WorkspacePublisher:
    """The built-in provider of inference."""

    def reads(self, job: FineTuneJob) -> tuple[Read, ...]:
        """All revisions of the namespace, because people make some without our labels."""
        return (Read(INFERENCE_REVISION), Read(INFERENCE_WORKSPACE, _workspace_name(job)))

    def publish(self, job: FineTuneJob, artifact: Artifact, observed: Observed) -> Publication:
        """Makes the revision, and the workspace if there is none; waits for its answer."""
        revisions_read, workspace_read = self.reads(job)
        name = _workspace_name(job)
        revisions = [InferenceRevision.from_stored(each) for each in observed[revisions_read] or ()]
        of_workspace = [each for each in revisions if each.spec.workspace_name == name]
        found = observed[workspace_read]
        workspace = InferenceWorkspace.from_stored(found[0]) if found else None
        revision = _find(job, artifact, of_workspace)
        written = job.status.published.revision if job.status.published else None
        if revision is None and written:
            return _deleted(written, image_of(artifact))
        actions = []
        if revision is None:
            revision = _revision(job, artifact, _next_name(name, of_workspace, workspace))
            actions.append(Create(revision_manifest(revision)))
        if workspace is None:
            actions.append(Create(_workspace_manifest(job)))
        published = Published(
            revision=revision.metadata.name, endpoint=endpoint(job.metadata.namespace, name)
        )
        if actions or workspace is None:
            return Publication(
                done=False,
                reason=Reason.ROLLING_OUT,
                message=f"InferenceWorkspace {name} was given revision {revision.metadata.name}.",
                actions=actions,
                revision=revision.metadata.name,
                endpoint=published.endpoint or "",
                requeue_after=_POLL_SECONDS,
            )
        return _standing(revision, workspace, published)


def _workspace_name(job: FineTuneJob) -> str:
    if job.spec.publish.workspace is None:
        raise ValueError("spec.publish.workspace is absent, which the API server refuses")
    return job.spec.publish.workspace.name


def _find(
    job: FineTuneJob, artifact: Artifact, revisions: list[InferenceRevision]
) -> InferenceRevision | None:
    """The revision that was made for this job and this artifact, if one was."""
    image = image_of(artifact)
    return next(
        (
            revision
            for revision in revisions
            if revision.metadata.labels.get(JOB_UID) == job.metadata.uid
            and image
            in (
                revision.spec.adapter.image if revision.spec.adapter else "",
                revision.spec.model.storage_uri.removeprefix("oci://"),
            )
        ),
        None,
    )


def _next_name(
    name: str, revisions: list[InferenceRevision], workspace: InferenceWorkspace | None
) -> str:
    """The next free number; one that traffic still names is never given to another result."""
    taken = [revision.metadata.name for revision in revisions]
    if workspace is not None:
        taken += [each.revision_name for each in workspace.spec.traffic if each.revision_name]
        taken += [each.name for each in workspace.status.revisions]
    return f"{name}-{max(map(number_of, taken), default=0) + 1:04d}"


def _revision(job: FineTuneJob, artifact: Artifact, name: str) -> InferenceRevision:
    resolved = job.status.resolved or Resolved()
    secret = job.spec.output.credentials_secret_ref
    model, adapter = _pinned(job.spec.model, resolved.model_revision), None
    if artifact.kind is ArtifactKind.ADAPTER:
        adapter = Adapter(
            image=image_of(artifact),
            pull_secrets=(secret,) if secret else (),
            method=job.spec.method.type,
            rank=published_rank(job.spec.method),
        )
    else:
        model = ModelSource(storage_uri=artifact.uri, credentials_secret_ref=secret)
    return InferenceRevision.model_validate(
        {
            "metadata": {
                "name": name,
                "namespace": job.metadata.namespace,
                "labels": {
                    MANAGED_BY: OPERATOR,
                    WORKSPACE: _workspace_name(job),
                    JOB: job.metadata.name,
                    JOB_UID: job.metadata.uid,
                },
            },
            "spec": InferenceRevisionSpec(
                workspace_name=_workspace_name(job),
                model=model,
                adapter=adapter,
                provenance=Provenance(
                    fine_tune_job=job.metadata.name, recipe_digest=resolved.recipe_digest or ""
                ),
            ),
        }
    )


def _pinned(model: ModelSource, revision: str | None) -> ModelSource:
    """The base model as it was trained on: a branch or a tag may be moved later."""
    if not revision:
        return model
    if model.storage_uri.startswith("hf://"):
        return model.model_copy(update={"revision": revision})
    if model.storage_uri.startswith("oci://"):
        host, slash, path = model.storage_uri.removeprefix("oci://").partition("/")
        repository = path.partition("@")[0].partition(":")[0]
        return model.model_copy(
            update={"storage_uri": f"oci://{host}{slash}{repository}@{revision}"}
        )
    return model


def revision_manifest(revision: InferenceRevision) -> JsonObject:
    """The object as it is created: metadata holds what we write, nothing that we only read."""
    metadata = revision.metadata
    return {
        "apiVersion": revision.api_version,
        "kind": revision.kind,
        "metadata": {
            "name": metadata.name,
            "namespace": metadata.namespace,
            "labels": dict(metadata.labels),
        },
        "spec": revision.spec.to_dict(),
    }


def _workspace_manifest(job: FineTuneJob) -> JsonObject:
    return {
        "apiVersion": INFERENCE_WORKSPACE.api_version,
        "kind": INFERENCE_WORKSPACE.name,
        "metadata": {"name": _workspace_name(job), "namespace": job.metadata.namespace},
        "spec": {
            "className": job.spec.class_name,
            "runtime": "Auto",
            "traffic": [{"latestRevision": True, "percent": 100}],
        },
    }


def _standing(
    revision: InferenceRevision, workspace: InferenceWorkspace, published: Published
) -> Publication:
    """Whether the workspace answers with the revision, or what it says it is waiting for."""
    name, status = workspace.metadata.name, workspace.status
    answers = revision.metadata.name in {each.name for each in status.revisions}
    if answers and is_true(status.conditions, ConditionType.AVAILABLE):
        return Publication(
            done=True,
            reason=Reason.PUBLISHED,
            message=f"InferenceWorkspace {name} answers with {revision.metadata.name} at"
            f" {published.endpoint}.",
            revision=published.revision or "",
            endpoint=published.endpoint or "",
        )
    telling = [
        condition
        for kind in _TELLING
        if (condition := find(status.conditions, kind))
        and condition.status != "True"
        and (
            kind is not ConditionType.REVISIONS_ACCEPTED
            or f"{revision.metadata.name} " in condition.message
        )
    ]
    said = telling[0] if telling else None
    refused = said is not None and said.type == ConditionType.REVISIONS_ACCEPTED.value
    return Publication(
        done=False,
        reason=_REASONS.get(said.reason, Reason.ROLLING_OUT) if said else Reason.ROLLING_OUT,
        message=f"InferenceWorkspace {name} does not answer with {revision.metadata.name} yet"
        + (f": {said.message}" if said else "."),
        revision=published.revision or "",
        endpoint=published.endpoint or "",
        stalled=refused or is_true(status.conditions, ConditionType.STALLED),
        requeue_after=_POLL_SECONDS,
    )


def _deleted(revision: str, image: str) -> Publication:
    """Made anew it would be the newest one, and take the traffic of younger results."""
    return Publication(
        done=False,
        reason=Reason.REVISION_NOT_FOUND,
        message=f"InferenceRevision {revision} was deleted before the workspace answered with it."
        f" The result is kept as {image}: create an InferenceRevision with it to serve it.",
        revision=revision,
        stalled=True,
        requeue_after=_POLL_SECONDS,
    )
