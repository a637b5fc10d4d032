"""What the objects of a FineTuneJob, and the pods of its Jobs, have in common."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from finetune_operator.api.fine_tune_job import FineTuneJob
from finetune_operator.api.fine_tune_job_status import Plan
from finetune_operator.domain import names, pods
from finetune_operator.domain.actions import JsonObject
from finetune_operator.domain.endings import FAIL_JOB_ON
from finetune_operator.domain.kinds import BATCH_JOB, FINE_TUNE_JOB, Kind
from finetune_operator.domain.names import Role
from finetune_operator.domain.outside import DIRECTLY, Outside
from finetune_operator.domain.provisioning import ANYWHERE, Placement
from finetune_trainer.recipe import Device

GPU = "nvidia.com/gpu"
LOST_NODE_SECONDS = 30
"""How long a pod stays on a node that does not answer; Kubernetes' default is 300."""

COMMAND = ("python", "-m", "finetune_trainer")
RECIPE = f"{names.RECIPE_PATH}/{names.RECIPE_FILE}"
OFFLINE: Mapping[str, str] = {"HF_HUB_OFFLINE": "1"}
"""Containers that run model code read what was fetched and never look for more."""

WORKSPACE_MOUNT: Mapping[str, Any] = {"name": "workspace", "mountPath": names.WORKSPACE_PATH}
CACHE_MOUNT: Mapping[str, Any] = {"name": "model-cache", "mountPath": names.MODEL_CACHE_PATH}
_RECIPE_MOUNT = {"name": "recipe", "mountPath": names.RECIPE_PATH, "readOnly": True}


@dataclass(frozen=True, slots=True)
class Blueprint:
    """What the pods of a job are built from; fixed when the job was accepted."""

    job: FineTuneJob
    plan: Plan
    image: str
    outside: Outside = DIRECTLY
    """Of the pods that fetch and publish."""
    progress_url: str = ""
    """Base URL of the operator's progress endpoint; empty where there is none."""
    model_cache: str = ""
    """Claim in which the model lies; empty where it is the job's own volume."""
    result_key: str = ""
    """By which the result is recorded and looked for; empty where nothing can tell it apart."""
    placement: Placement = ANYWHERE
    """Of the pods that train."""


def metadata(job: FineTuneJob, name: str, labels: Mapping[str, str] | None = None) -> JsonObject:
    """Name, namespace, labels and owner of a child."""
    inherited = {
        label: value
        for label, value in job.metadata.labels.items()
        if label.startswith(names.PASSED_ON)
    }
    return {
        "name": name,
        "namespace": job.metadata.namespace,
        "labels": {
            **inherited,
            names.MANAGED_BY: names.OPERATOR,
            names.JOB: job.metadata.name,
            names.JOB_UID: job.metadata.uid,
            **(labels or {}),
        },
        "ownerReferences": [
            {
                "apiVersion": FINE_TUNE_JOB.api_version,
                "kind": FINE_TUNE_JOB.name,
                "name": job.metadata.name,
                "uid": job.metadata.uid,
                "controller": True,
                "blockOwnerDeletion": False,
            }
        ],
    }


def typed(kind: Kind, meta: JsonObject, **rest: Any) -> JsonObject:
    """A manifest of that kind."""
    return {"apiVersion": kind.api_version, "kind": kind.name, "metadata": meta, **rest}


def batch_job(
    blueprint: Blueprint,
    role: Role,
    number: int,
    pod_spec: JsonObject,
    extra: Mapping[str, Any] | None = None,
) -> JsonObject:
    """A Job that never restarts a pod by itself and says by which rule it failed."""
    job = blueprint.job
    labels = {names.ROLE: role.value, names.ATTEMPT: str(number)}
    meta = metadata(job, names.batch_job(job.metadata.name, role, number), labels)
    spec: JsonObject = {
        "backoffLimit": 0,
        "podReplacementPolicy": "Failed",
        "podFailurePolicy": {"rules": _failure_rules()},
        **(extra or {}),
        "template": {"metadata": {"labels": meta["labels"]}, "spec": pod_spec},
    }
    return typed(BATCH_JOB, meta, spec=spec)


def pod_spec(
    blueprint: Blueprint,
    *,
    containers: Sequence[JsonObject],
    init_containers: Sequence[JsonObject] = (),
    volumes: Sequence[JsonObject] = (),
    grace_seconds: int = 30,
) -> JsonObject:
    """A pod on the job's volume, wherever its node may be."""
    template = blueprint.job.spec.compute.pod_template
    spec = pods.overlay(template, tolerations=_tolerations(blueprint.plan))
    spec |= {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": grace_seconds,
        "containers": list(containers),
        "volumes": [
            dict(pods.SCRATCH_VOLUME),
            {
                "name": "workspace",
                "persistentVolumeClaim": {
                    "claimName": names.volume_claim(blueprint.job.metadata.name)
                },
            },
            {
                "name": "recipe",
                "configMap": {"name": names.config_map(blueprint.job.metadata.name)},
            },
            *volumes,
        ],
    }
    if init_containers:
        spec["initContainers"] = list(init_containers)
    return spec


def container(
    blueprint: Blueprint,
    name: str,
    arguments: Sequence[str],
    *,
    environment: Mapping[str, str],
    mounts: Sequence[JsonObject] = (),
) -> JsonObject:
    """A container of the trainer image that reads the recipe and works in the volume."""
    template = blueprint.job.spec.compute.pod_template
    made: JsonObject = {
        "name": name,
        "image": blueprint.image,
        "command": list(COMMAND),
        "args": list(arguments),
        "workingDir": names.WORKSPACE_PATH,
        "env": pods.environment({**pods.SCRATCH_ENVIRONMENT, **environment}, template),
        "securityContext": dict(pods.CONTAINER_SECURITY),
        "volumeMounts": [
            dict(pods.SCRATCH_MOUNT),
            dict(WORKSPACE_MOUNT),
            dict(_RECIPE_MOUNT),
            *mounts,
        ],
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    resources = template.resources.to_dict()
    return made | ({"resources": resources} if any(resources.values()) else {})


def cache_mounts(blueprint: Blueprint) -> list[JsonObject]:
    """Where the model is only read."""
    return [{**CACHE_MOUNT, "readOnly": True}] if blueprint.model_cache else []


def cache_volumes(blueprint: Blueprint, *, read_only: bool) -> list[JsonObject]:
    """The claim in which the model lies, if there is one."""
    if not blueprint.model_cache:
        return []
    claim: JsonObject = {"claimName": blueprint.model_cache}
    if read_only:
        claim["readOnly"] = True
    return [{"name": CACHE_MOUNT["name"], "persistentVolumeClaim": claim}]


def _failure_rules() -> list[JsonObject]:
    disrupted = {
        "action": "FailJob",
        "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
    }
    by_code = (
        {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [int(code)]}}
        for code in FAIL_JOB_ON
    )
    return [disrupted, *by_code]


def _tolerations(plan: Plan) -> list[JsonObject]:
    found: list[JsonObject] = [
        {
            "key": f"node.kubernetes.io/{trouble}",
            "operator": "Exists",
            "effect": "NoExecute",
            "tolerationSeconds": LOST_NODE_SECONDS,
        }
        for trouble in ("not-ready", "unreachable")
    ]
    if plan.device is Device.GPU:
        # Preparing and publishing use no GPU, but may have to follow the volume to such a node.
        found.append({"key": GPU, "operator": "Exists", "effect": "NoSchedule"})
    return found
