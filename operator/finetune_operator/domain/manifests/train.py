"""The Job of one training attempt: a pod for each node, all or none of them."""

from collections.abc import Mapping

from finetune_operator.domain import names
from finetune_operator.domain.actions import JsonObject
from finetune_operator.domain.manifests.common import (
    GPU,
    OFFLINE,
    RECIPE,
    Blueprint,
    batch_job,
    cache_mounts,
    cache_volumes,
    container,
    pod_spec,
)
from finetune_operator.domain.manifests.placement import placed
from finetune_operator.domain.names import Role

TRAIN = "train"
GRACE_SECONDS = 120
"""For the checkpoint that is written on SIGTERM."""

TOKEN_PATH = "/var/run/secrets/finetune.dev/progress"  # noqa: S105
TOKEN_AUDIENCE = "finetune-operator"  # noqa: S105
TOKEN_SECONDS = 3600
_RANK = "metadata.annotations['batch.kubernetes.io/job-completion-index']"
_PORT = 29500
"""PyTorch's default port for rank 0."""


def train_job(blueprint: Blueprint, number: int) -> JsonObject:
    """An Indexed Job; a lone replacement could not rejoin, so any loss ends the attempt."""
    plan = blueprint.plan
    main = container(
        blueprint,
        TRAIN,
        [TRAIN, "--recipe", RECIPE],
        environment={**OFFLINE, **_environment(blueprint, number)},
        mounts=[
            {"name": "shared-memory", "mountPath": "/dev/shm"},  # noqa: S108
            *cache_mounts(blueprint),
            *_token_mounts(blueprint),
        ],
    )
    main["env"].append({"name": "PET_NODE_RANK", "valueFrom": {"fieldRef": {"fieldPath": _RANK}}})
    if plan.gpus_per_node:
        resources = main.setdefault("resources", {})
        resources["limits"] = {**resources.get("limits", {}), GPU: str(plan.gpus_per_node)}
    pod = pod_spec(
        blueprint,
        containers=[main],
        volumes=[
            {"name": "shared-memory", "emptyDir": {"medium": "Memory"}},
            *cache_volumes(blueprint, read_only=True),
            *_token_volumes(blueprint),
        ],
        grace_seconds=GRACE_SECONDS,
    )
    if plan.nodes > 1:
        pod["subdomain"] = names.service(blueprint.job.metadata.name)
        pod["affinity"] = _one_on_each_node(pod.get("affinity", {}), blueprint, number)
    placed(pod, blueprint.placement)
    extra = {
        "completionMode": "Indexed",
        "completions": plan.nodes,
        "parallelism": plan.nodes,
    }
    made = batch_job(blueprint, Role.TRAIN, number, pod, extra)
    if annotations := blueprint.placement.annotations:
        made["spec"]["template"]["metadata"]["annotations"] = dict(annotations)
    return made


def _environment(blueprint: Blueprint, number: int) -> Mapping[str, str]:
    job, plan = blueprint.job, blueprint.plan
    name = names.batch_job(job.metadata.name, Role.TRAIN, number)
    alone = plan.nodes == 1
    rank_zero = "127.0.0.1" if alone else f"{name}-0.{names.service(job.metadata.name)}"
    progress = f"{blueprint.progress_url}/v1/progress/{job.metadata.namespace}/{job.metadata.name}"
    return {
        "FINETUNE_ATTEMPT": str(number),
        "FINETUNE_PROGRESS_URL": progress if blueprint.progress_url else "",
        "FINETUNE_PROGRESS_TOKEN_PATH": f"{TOKEN_PATH}/token",
        "PET_NNODES": str(plan.nodes),
        "PET_NPROC_PER_NODE": str(max(1, plan.gpus_per_node)),
        "PET_MASTER_ADDR": rank_zero,
        "PET_MASTER_PORT": str(_PORT),
    }


def _token_mounts(blueprint: Blueprint) -> list[JsonObject]:
    if not blueprint.progress_url:
        return []
    return [{"name": "progress-token", "mountPath": TOKEN_PATH, "readOnly": True}]


def _token_volumes(blueprint: Blueprint) -> list[JsonObject]:
    """A token that only this operator's progress endpoint takes; the API server refuses it."""
    if not blueprint.progress_url:
        return []
    token = {"path": "token", "audience": TOKEN_AUDIENCE, "expirationSeconds": TOKEN_SECONDS}
    sources = [{"serviceAccountToken": token}]
    return [{"name": "progress-token", "projected": {"sources": sources}}]


def _one_on_each_node(affinity: JsonObject, blueprint: Blueprint, number: int) -> JsonObject:
    """The user's affinity, and that no two pods of the attempt share a node."""
    apart = {
        "topologyKey": "kubernetes.io/hostname",
        "labelSelector": {
            "matchLabels": {
                names.JOB: blueprint.job.metadata.name,
                names.ROLE: Role.TRAIN.value,
                names.ATTEMPT: str(number),
            }
        },
    }
    required = "requiredDuringSchedulingIgnoredDuringExecution"
    wanted = affinity.get("podAntiAffinity", {})
    return {
        **affinity,
        "podAntiAffinity": {**wanted, required: [*wanted.get(required, ()), apart]},
    }
