"""The Transformers runtime: our own server, on the processor."""

from finetune_operator.domain.actions import JsonObject
from finetune_operator.domain.inference.server import CONFIG_FILE, CONFIG_PATH, PORT, Server
from finetune_operator.domain.pods import (
    CONTAINER_SECURITY,
    SCRATCH_ENVIRONMENT,
    SCRATCH_MOUNT,
    environment,
)

DEFAULT_REQUESTS = {"cpu": "500m", "memory": "1Gi"}
"""Of a container whose user asked for nothing: a pod of a model that fits a laptop is placed
where there is some room for it. No limit: what a model takes is not known here."""

LOADING_SECONDS = 3600
"""Bound on loading a model, after which the kubelet starts the container again."""


TOLERATIONS: tuple[JsonObject, ...] = ()
VOLUMES: tuple[JsonObject, ...] = ()


def resources(server: Server) -> JsonObject:
    """What the user wrote, and requests where nothing was written."""
    given = server.workspace.spec.pod_template.resources.to_dict()
    requests = DEFAULT_REQUESTS | given.get("limits", {}) | given.get("requests", {})
    limits = given.get("limits", {})
    return {"requests": requests} | ({"limits": limits} if limits else {})


def containers(server: Server, mounts: list[JsonObject]) -> list[JsonObject]:
    """The one container that answers."""
    template = server.workspace.spec.pod_template
    return [
        answering("server", server, mounts=mounts)
        | {
            "env": environment({**SCRATCH_ENVIRONMENT, "HF_HUB_OFFLINE": "1"}, template),
            "resources": resources(server),
        }
    ]


def answering(name: str, server: Server, mounts: list[JsonObject]) -> JsonObject:
    """A container with our server, which decides when the pod is ready."""
    return {
        "name": name,
        "image": server.serve_image,
        "command": ["python", "-m", "finetune_trainer"],
        "args": ["serve", "--config", f"{CONFIG_PATH}/{CONFIG_FILE}"],
        "ports": [{"name": "http", "containerPort": PORT}],
        "securityContext": dict(CONTAINER_SECURITY),
        "volumeMounts": [
            dict(SCRATCH_MOUNT),
            {"name": "config", "mountPath": CONFIG_PATH, "readOnly": True},
            *mounts,
        ],
        "startupProbe": _probe("/healthz", period=5, failures=LOADING_SECONDS // 5),
        "readinessProbe": _probe("/readyz", period=5, failures=2),
        "livenessProbe": _probe("/healthz", period=10, failures=6),
        # Requests on their way to this pod still find it while the Service forgets it.
        "lifecycle": {"preStop": {"sleep": {"seconds": 5}}},
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }


def _probe(path: str, *, period: int, failures: int) -> JsonObject:
    return {
        "httpGet": {"path": path, "port": "http"},
        "periodSeconds": period,
        "timeoutSeconds": 5,
        "failureThreshold": failures,
    }
