"""The Jobs that push a result, or look for an earlier one; they run no model code, and hold the
credential of the output and no other."""

from finetune_operator.domain import pods
from finetune_operator.domain.actions import JsonObject
from finetune_operator.domain.manifests.common import (
    RECIPE,
    Blueprint,
    batch_job,
    container,
    pod_spec,
)
from finetune_operator.domain.names import Role

PUBLISH = "publish"
REUSE = "reuse"


def publish_job(blueprint: Blueprint, number: int) -> JsonObject:
    """One try to push; waits for nothing, so that a registry that is down costs no pod."""
    return _at_output(blueprint, Role.PUBLISH, PUBLISH, number)


def reuse_job(blueprint: Blueprint, number: int) -> JsonObject:
    """One look for an earlier result."""
    return _at_output(blueprint, Role.REUSE, REUSE, number)


def _at_output(blueprint: Blueprint, role: Role, command: str, number: int) -> JsonObject:
    output = blueprint.job.spec.output
    arguments = [command, "--recipe", RECIPE, "--uri", output.storage_uri]
    if blueprint.result_key:
        arguments += ["--result-key", blueprint.result_key]
    arguments += blueprint.outside.arguments
    volumes, mounts = blueprint.outside.volumes(command)
    if output.credentials_secret_ref is not None:
        secret = {"secretName": output.credentials_secret_ref.name, "defaultMode": 0o440}
        volumes.append({"name": "credentials", "secret": secret})
        mounts.append({"name": "credentials", "mountPath": pods.CREDENTIALS_PATH, "readOnly": True})
    environment = blueprint.outside.environment
    main = container(blueprint, command, arguments, environment=environment, mounts=mounts)
    return batch_job(
        blueprint,
        role,
        number,
        pod_spec(blueprint, containers=[main], volumes=volumes),
    )
