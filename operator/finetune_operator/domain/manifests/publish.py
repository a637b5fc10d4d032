"""The Job that pushes the result; it runs no model code and holds the push credential."""

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


def publish_job(blueprint: Blueprint, number: int) -> JsonObject:
    """One try to push; waits for nothing, so that a registry that is down costs no pod."""
    output = blueprint.job.spec.output
    arguments = [PUBLISH, "--recipe", RECIPE, "--uri", output.storage_uri]
    arguments += blueprint.outside.arguments
    volumes, mounts = blueprint.outside.volumes(PUBLISH)
    if output.credentials_secret_ref is not None:
        secret = {"secretName": output.credentials_secret_ref.name, "defaultMode": 0o440}
        volumes.append({"name": "credentials", "secret": secret})
        mounts.append({"name": "credentials", "mountPath": pods.CREDENTIALS_PATH, "readOnly": True})
    environment = blueprint.outside.environment
    main = container(blueprint, PUBLISH, arguments, environment=environment, mounts=mounts)
    return batch_job(
        blueprint,
        Role.PUBLISH,
        number,
        pod_spec(blueprint, containers=[main], volumes=volumes),
    )
