"""How base model and adapters get into a serving pod.

The base model is fetched by an init container, the only container that holds its credentials.
Adapters are image volumes, which the kubelet pulls by digest with the pod's pull secrets; where
the cluster has no image volumes an init container fetches each of them.
"""

import hashlib
from dataclasses import dataclass

from finetune_operator.api.inference_revision import Adapter
from finetune_operator.api.sources import ModelSource
from finetune_operator.domain.actions import JsonObject
from finetune_operator.domain.inference.server import (
    ADAPTERS_PATH,
    MODEL_PATH,
    Server,
    adapter_path,
)
from finetune_operator.domain.pods import fetching

ADAPTER_FOLDER = "data"
"""Where published images hold the adapter; KAITO reads it there too."""

_LONGEST_NAME = 36
"""Characters of a volume's name, so that "fetch-…-credentials" stays within 63."""


@dataclass(frozen=True, slots=True)
class Sources:
    """What a pod needs for its models to be at MODEL_PATH and ADAPTERS_PATH."""

    init_containers: list[JsonObject]
    volumes: list[JsonObject]
    mounts: list[JsonObject]
    """For the containers that serve: read-only."""

    pull_secrets: list[str]
    """For the kubelet."""


def sources(server: Server, resources: JsonObject) -> Sources:
    """Everything that serves is fetched with the resources of the serving container: they are not
    used at the same time, and a quota that wants limits gets them."""
    base = _base_model(server, resources)
    adapters = [
        _image_volume(name, adapter)
        if server.image_volumes
        else _fetched(name, adapter, server, resources)
        for name, adapter in (
            (revision.metadata.name, adapter) for revision, adapter in server.adapters
        )
    ]
    parts = [base, *adapters]
    volumes = [volume for part in parts for volume in part.volumes]
    if adapters and not server.image_volumes:
        volumes.append({"name": "adapters", "emptyDir": {}})
    return Sources(
        init_containers=[each for part in parts for each in part.init_containers],
        volumes=volumes,
        mounts=_unique([mount for part in parts for mount in part.mounts]),
        pull_secrets=[name for part in parts for name in part.pull_secrets],
    )


def _base_model(server: Server, resources: JsonObject) -> Sources:
    container, volumes = fetching(
        "fetch-model",
        server.serve_image,
        server.routing.model,
        destination=MODEL_PATH,
        mounts=[{"name": "models", "mountPath": "/models"}],
        outside=server.outside,
        resources=resources,
    )
    return Sources(
        [container],
        [{"name": "models", "emptyDir": {}}, *volumes],
        [{"name": "models", "mountPath": "/models", "readOnly": True}],
        [],
    )


def _image_volume(revision: str, adapter: Adapter) -> Sources:
    name = _volume_name(revision)
    image = {"reference": adapter.image, "pullPolicy": "IfNotPresent"}
    mount = {
        "name": name,
        "mountPath": adapter_path(revision),
        "subPath": ADAPTER_FOLDER,
        "readOnly": True,
    }
    secrets = [secret.name for secret in adapter.pull_secrets]
    return Sources([], [{"name": name, "image": image}], [mount], secrets)


def _fetched(revision: str, adapter: Adapter, server: Server, resources: JsonObject) -> Sources:
    container, volumes = fetching(
        f"fetch-{_volume_name(revision)}",
        server.serve_image,
        ModelSource(
            storage_uri=f"oci://{adapter.image}",
            credentials_secret_ref=adapter.pull_secrets[0] if adapter.pull_secrets else None,
        ),
        destination=adapter_path(revision),
        mounts=[{"name": "adapters", "mountPath": ADAPTERS_PATH}],
        outside=server.outside,
        resources=resources,
    )
    mount = {"name": "adapters", "mountPath": ADAPTERS_PATH, "readOnly": True}
    return Sources([container], volumes, [mount], [])


def _volume_name(revision: str) -> str:
    name = f"adapter-{revision}"
    if len(name) <= _LONGEST_NAME:
        return name
    return f"adapter-{hashlib.sha256(revision.encode()).hexdigest()[:16]}"


def _unique(mounts: list[JsonObject]) -> list[JsonObject]:
    return list({mount["mountPath"]: mount for mount in mounts}.values())
