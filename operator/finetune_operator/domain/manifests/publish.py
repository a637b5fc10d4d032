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
    for host in blueprint.insecure_registries:
        arguments += ["--insecure-registry", host]
    volumes: list[JsonObject] = []
    mounts: list[JsonObject] = []
    if output.credentials_secret_ref is not None:
        secret = {"secretName": output.credentials_secret_ref.name, "defaultMode": 0o440}
        volumes.append({"name": "credentials", "secret": secret})
        mounts.append({"name": "credentials", "mountPath": pods.CREDENTIALS_PATH, "readOnly": True})
    main = container(blueprint, PUBLISH, arguments, environment={}, mounts=mounts)
    return batch_job(
        blueprint,
        Role.PUBLISH,
        number,
        pod_spec(blueprint, containers=[main], volumes=volumes),
    )
