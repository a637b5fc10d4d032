"""What every pod of this operator has in common: the restricted profile and the user's overlay.

Nothing here mounts a credential but `fetching`, and nothing mounts an API token at all.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from finetune_operator.api.pod_template import PodTemplate
from finetune_operator.api.sources import DataSource, ModelSource
from finetune_operator.domain.actions import JsonObject
from finetune_operator.domain.identity import acting_as
from finetune_operator.domain.outside import Outside

USER = 1000
"""User and group of every container; the images create it, volumes are given to it by fsGroup."""

POD_SECURITY: Mapping[str, Any] = {
    "runAsNonRoot": True,
    "runAsUser": USER,
    "runAsGroup": USER,
    "fsGroup": USER,
    "fsGroupChangePolicy": "OnRootMismatch",
    "seccompProfile": {"type": "RuntimeDefault"},
}

CONTAINER_SECURITY: Mapping[str, Any] = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}

CREDENTIALS_PATH = "/var/run/secrets/finetune.dev/credentials"
SOURCES_PATH = "/sources"
SCRATCH_VOLUME: Mapping[str, Any] = {"name": "tmp", "emptyDir": {}}
SCRATCH_MOUNT: Mapping[str, Any] = {"name": "tmp", "mountPath": "/tmp"}  # noqa: S108
SCRATCH_ENVIRONMENT: Mapping[str, str] = {"HOME": "/tmp"}  # noqa: S108


def environment(own: Mapping[str, str], template: PodTemplate | None = None) -> list[JsonObject]:
    """`env` of a container: the operator's variables, which win, and then the user's."""
    ours = [{"name": name, "value": value} for name, value in own.items()]
    users = [each.to_dict() for each in template.env if each.name not in own] if template else []
    return ours + users


def overlay(
    template: PodTemplate,
    *,
    tolerations: Iterable[JsonObject] = (),
    pull_secrets: Iterable[str] = (),
) -> JsonObject:
    """The fields of a pod's spec that the user may add to, with the operator's own part of them.

    Env and resources belong to containers and are not among them.
    """
    secrets = dict.fromkeys([each.name for each in template.image_pull_secrets])
    secrets.update(dict.fromkeys(pull_secrets))
    fields: JsonObject = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": dict(POD_SECURITY),
        "nodeSelector": dict(template.node_selector),
        "tolerations": [*tolerations, *(each.to_dict() for each in template.tolerations)],
        "affinity": template.affinity.to_dict() if template.affinity else None,
        "imagePullSecrets": [{"name": name} for name in secrets],
        "serviceAccountName": template.service_account_name,
        "runtimeClassName": template.runtime_class_name,
        "priorityClassName": template.priority_class_name,
    }
    return {name: value for name, value in fields.items() if value not in (None, [], {})}


def fetching(
    name: str,
    image: str,
    source: ModelSource | DataSource,
    *,
    destination: str,
    mounts: Sequence[JsonObject],
    outside: Outside,
    resources: JsonObject,
    cache: str = "",
) -> tuple[JsonObject, list[JsonObject]]:
    """The container that fetches one source, the only holder of its credentials.

    Args:
        name: of the container; the volumes that only it mounts are named after it.
        source: what is fetched, and by which right.
        destination: path of the directory that is made, within one of `mounts`.
        mounts: where the result goes.
        cache: path of the model cache, within one of `mounts`; empty where there is none.

    Returns:
        The container, and the volumes it needs besides those of `mounts`.
    """
    arguments = ["fetch", "--uri", source.storage_uri, "--destination", destination]
    if isinstance(source, ModelSource) and source.revision:
        arguments += ["--revision", source.revision]
    arguments += ["--cache", cache] if cache else []
    arguments += outside.arguments
    own_environment = {**SCRATCH_ENVIRONMENT, **outside.environment}
    own_volumes, own_mounts = outside.volumes(name)
    if source.workload_identity:
        variables, token, where = acting_as(source.workload_identity, name, source.storage_uri)
        own_environment |= variables
        own_volumes.append(token)
        own_mounts.append(where)
    if credentials := source.credentials_secret_ref:
        volume = f"{name}-credentials"
        own_volumes.append(
            {"name": volume, "secret": {"secretName": credentials.name, "defaultMode": 0o440}}
        )
        own_mounts.append({"name": volume, "mountPath": CREDENTIALS_PATH, "readOnly": True})
    if claim := claim_of(source.storage_uri):
        volume = f"{name}-source"
        own_volumes.append(
            {"name": volume, "persistentVolumeClaim": {"claimName": claim, "readOnly": True}}
        )
        own_mounts.append(
            {"name": volume, "mountPath": f"{SOURCES_PATH}/{claim}", "readOnly": True}
        )
    container: JsonObject = {
        "name": name,
        "image": image,
        "command": ["python", "-m", "finetune_trainer"],
        "args": arguments,
        "env": environment(own_environment),
        "securityContext": dict(CONTAINER_SECURITY),
        "volumeMounts": [dict(SCRATCH_MOUNT), *mounts, *own_mounts],
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    return container | ({"resources": resources} if resources else {}), own_volumes


def claim_of(storage_uri: str) -> str:
    """The PersistentVolumeClaim of a pvc:// URI; empty for any other."""
    scheme, _, rest = storage_uri.partition("://")
    return rest.partition("/")[0] if scheme == "pvc" else ""
