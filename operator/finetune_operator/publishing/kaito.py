"""Publishes as a KAITO Workspace that serves the base model with the adapter.

Written for KAITO v0.12 (kaito.sh/v1beta1): its fields are top-level, there is no spec. The
Workspace does not belong to the FineTuneJob, whose deletion takes no served model down.
"""

from finetune_operator.api.fine_tune_job import FineTuneJob
from finetune_operator.api.fine_tune_job_status import Artifact
from finetune_operator.api.method import published_rank
from finetune_operator.api.output import PublishKAITO
from finetune_operator.api.reason import Reason
from finetune_operator.domain.actions import Action, Apply, JsonObject
from finetune_operator.domain.applied import is_applied, stamped
from finetune_operator.domain.inference.vllm import DEFAULT_RANK, lora_rank
from finetune_operator.domain.kinds import CONFIG_MAP, KAITO_WORKSPACE
from finetune_operator.domain.names import JOB, JOB_UID, MANAGED_BY, OPERATOR
from finetune_operator.domain.publication import Publication
from finetune_operator.publishing.publisher import Observed, Read, image_of

_POLL_SECONDS = 15.0
"""KAITO's objects are not watched: most clusters do not have them."""

_MISSING_POLL_SECONDS = 60.0

_ORDER = ("NodeClaimReady", "NodesReady", "ResourceReady", "InferenceReady")
"""KAITO's conditions from the first obstacle to the last."""


class KAITOPublisher:
    """KAITO as the provider of inference."""

    def reads(self, job: FineTuneJob) -> tuple[Read, ...]:
        """The Workspace, named like the job, and the ConfigMap of its vLLM."""
        return (
            Read(KAITO_WORKSPACE, job.metadata.name),
            Read(CONFIG_MAP, _config_name(job)),
        )

    def publish(self, job: FineTuneJob, artifact: Artifact, observed: Observed) -> Publication:
        """Applies the Workspace and mirrors what KAITO says about it."""
        workspace_read, config_read = self.reads(job)
        workspaces, configs = observed[workspace_read], observed[config_read]
        if workspaces is None:
            return _waiting(
                Reason.KAITO_MISSING,
                "The cluster does not know kaito.sh/v1beta1 Workspace: install KAITO's workspace"
                " chart (v0.12 or later). The image is pushed and nothing has to be trained"
                " again.",
                stalled=True,
                poll_seconds=_MISSING_POLL_SECONDS,
            )
        live = workspaces[0] if workspaces else None
        if live is not None and live["metadata"].get("labels", {}).get(JOB) != job.metadata.name:
            return _waiting(
                Reason.NAME_TAKEN,
                f"KAITO Workspace {job.metadata.name} exists and was not made by this operator:"
                " delete it, or create the FineTuneJob under another name.",
                stalled=True,
            )
        wanted = workspace(job, artifact)
        actions: list[Action] = []
        if _rank(job) > DEFAULT_RANK:
            config = config_map(job, live)
            if not is_applied(configs[0] if configs else None, config):
                actions.append(Apply(config))  # before the Workspace: KAITO looks for it at once
        if not is_applied(live, wanted):
            actions.append(Apply(wanted))
        return _standing(job, live, actions)


def workspace(job: FineTuneJob, artifact: Artifact) -> JsonObject:
    """The KAITO Workspace, complete. The adapter answers under the name of the job."""
    settings = _settings(job)
    resource: JsonObject = {
        "labelSelector": {"matchLabels": dict(settings.label_selector.match_labels)}
    }
    if settings.instance_type:
        resource["instanceType"] = settings.instance_type
    preset: JsonObject = {"name": job.spec.model.storage_uri.removeprefix("hf://").rstrip("/")}
    if token := job.spec.model.credentials_secret_ref:
        preset["presetOptions"] = {"modelAccessSecret": token.name}
    source: JsonObject = {"name": job.metadata.name, "image": image_of(artifact)}
    if secret := job.spec.output.credentials_secret_ref:
        source["imagePullSecrets"] = [secret.name]
    # No strength: vLLM refuses it.
    inference: JsonObject = {"preset": preset, "adapters": [{"source": source}]}
    if _rank(job) > DEFAULT_RANK:
        inference["config"] = _config_name(job)
    metadata = {
        "name": job.metadata.name,
        "namespace": job.metadata.namespace,
        "labels": _labels(job),
        # Its benchmark holds the first answer back for minutes of GPU time.
        "annotations": {"kaito.sh/disable-benchmark": "true"},
    }
    return stamped(
        {
            "apiVersion": KAITO_WORKSPACE.api_version,
            "kind": KAITO_WORKSPACE.name,
            "metadata": metadata,
            "resource": resource,
            "inference": inference,
        }
    )


def config_map(job: FineTuneJob, owner: JsonObject | None) -> JsonObject:
    """vLLM's settings for an adapter of a rank above its default; goes with the Workspace."""
    metadata: JsonObject = {
        "name": _config_name(job),
        "namespace": job.metadata.namespace,
        "labels": _labels(job),
    }
    if owner is not None:
        metadata["ownerReferences"] = [
            {
                "apiVersion": KAITO_WORKSPACE.api_version,
                "kind": KAITO_WORKSPACE.name,
                "name": owner["metadata"]["name"],
                "uid": owner["metadata"]["uid"],
            }
        ]
    text = f'vllm:\n  max-lora-rank: "{lora_rank(_rank(job))}"\n'
    return stamped(
        {
            "apiVersion": CONFIG_MAP.api_version,
            "kind": CONFIG_MAP.name,
            "metadata": metadata,
            "data": {"inference_config.yaml": text},
        }
    )


def _settings(job: FineTuneJob) -> PublishKAITO:
    if job.spec.publish.kaito is None:
        raise ValueError("spec.publish.kaito is absent, which the API server refuses")
    return job.spec.publish.kaito


def _rank(job: FineTuneJob) -> int:
    return published_rank(job.spec.method) or DEFAULT_RANK


def _config_name(job: FineTuneJob) -> str:
    return f"{job.metadata.name}-inference"


def _labels(job: FineTuneJob) -> dict[str, str]:
    return {
        MANAGED_BY: OPERATOR,
        JOB: job.metadata.name,
        JOB_UID: job.metadata.uid,
    }


def _standing(job: FineTuneJob, live: JsonObject | None, actions: list[Action]) -> Publication:
    name, namespace = job.metadata.name, job.metadata.namespace
    url = f"http://{name}.{namespace}.svc/v1"
    if live is None or actions:
        return _waiting(
            Reason.ROLLING_OUT, f"KAITO Workspace {name} was applied.", job=job, actions=actions
        )
    generation = live["metadata"].get("generation", 0)
    conditions = {each["type"]: each for each in live.get("status", {}).get("conditions") or ()}
    ready = conditions.get("InferenceReady", {})
    # A condition of an older generation speaks of the adapter of before.
    current = ready.get("observedGeneration", generation) >= generation
    if ready.get("status") == "True" and current:
        return Publication(
            done=True,
            reason=Reason.PUBLISHED,
            message=f"KAITO Workspace {name} answers at {url}; ask for model {name}.",
            revision=name,
            endpoint=url,
        )
    said = [
        f"{kind} is {conditions[kind]['status']} ({conditions[kind]['reason']}):"
        f" {conditions[kind]['message']}"
        for kind in _ORDER
        if kind in conditions and conditions[kind]["status"] != "True"
    ]
    told = "; ".join(said) or "KAITO has not reported on it yet; see that its controller runs"
    return _waiting(Reason.ROLLING_OUT, f"KAITO Workspace {name}: {told}", job=job)


def _waiting(
    reason: Reason,
    message: str,
    *,
    job: FineTuneJob | None = None,
    actions: list[Action] | None = None,
    stalled: bool = False,
    poll_seconds: float = _POLL_SECONDS,
) -> Publication:
    return Publication(
        done=False,
        reason=reason,
        message=message,
        actions=actions or [],
        revision=job.metadata.name if job else "",
        stalled=stalled,
        requeue_after=poll_seconds,
    )
