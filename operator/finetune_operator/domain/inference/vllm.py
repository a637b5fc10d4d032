"""The vLLM runtime: vLLM on one GPU, and our server beside it as router.

vLLM listens on the pod's loopback only. So every request passes the router, which turns the
workspace's name into a revision by `traffic` and is ready only when vLLM has really answered.
"""

import json

from finetune_operator.domain.actions import JsonObject
from finetune_operator.domain.inference.server import BASE, MODEL_PATH, Server, adapter_path
from finetune_operator.domain.inference.transformers import answering, resources
from finetune_operator.domain.pods import (
    CONTAINER_SECURITY,
    SCRATCH_ENVIRONMENT,
    SCRATCH_MOUNT,
    environment,
)

GPU = "nvidia.com/gpu"

RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""What --max-lora-rank takes: vLLM's MaxLoRARanks, vllm/config/lora.py, v0.26."""

DEFAULT_RANK = 16
"""vLLM's default of --max-lora-rank."""

ADAPTERS_IN_A_BATCH = 4
"""Bound on --max-loras, which reserves GPU memory for so many adapters at once; further adapters
take turns."""

TOLERATIONS: tuple[JsonObject, ...] = (
    {"key": GPU, "operator": "Exists", "effect": "NoSchedule"},
    # The taint of AKS GPU pools as its documentation makes them, and of KAITO's nodes.
    {"key": "sku", "operator": "Equal", "value": "gpu", "effect": "NoSchedule"},
)

VOLUMES: tuple[JsonObject, ...] = ({"name": "shm", "emptyDir": {"medium": "Memory"}},)

_ROUTER_RESOURCES: JsonObject = {
    "requests": {"cpu": "100m", "memory": "256Mi"},
    "limits": {"memory": "1Gi"},
}

DRAIN_SECONDS = 60
"""As long as the router takes to leave at most."""

_ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    # The image knows no user of our number; torch asks for a name to make its cache.
    "USER": "finetune",
}


def containers(server: Server, mounts: list[JsonObject]) -> list[JsonObject]:
    """vLLM and the router."""
    template = server.workspace.spec.pod_template
    wanted = resources(server)
    engine: JsonObject = {
        "name": "vllm",
        "image": server.images.vllm,
        "command": ["vllm", "serve"],
        "args": arguments(server),
        "env": environment({**SCRATCH_ENVIRONMENT, **_ENVIRONMENT}, template),
        "resources": wanted | {"limits": wanted.get("limits", {}) | {GPU: "1"}},
        "securityContext": dict(CONTAINER_SECURITY),
        "volumeMounts": [
            dict(SCRATCH_MOUNT),
            {"name": "shm", "mountPath": "/dev/shm"},  # noqa: S108
            *mounts,
        ],
        # The router still writes the answers that it has begun.
        "lifecycle": {"preStop": {"sleep": {"seconds": DRAIN_SECONDS}}},
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    router = answering("router", server, [])
    return [
        engine,
        router | {"env": environment(SCRATCH_ENVIRONMENT), "resources": _ROUTER_RESOURCES},
    ]


def arguments(server: Server) -> list[str]:
    """The command line of `vllm serve`; adapters answer under the names of their revisions."""
    given = [
        MODEL_PATH,
        *("--host", "127.0.0.1", "--port", "8001"),
        *("--served-model-name", BASE),
    ]
    if not server.adapters:
        return given
    modules = [
        json.dumps(
            {
                "name": revision.metadata.name,
                "path": adapter_path(revision.metadata.name),
                "base_model_name": BASE,
            }
        )
        for revision, _ in server.adapters
    ]
    rank = lora_rank(max(adapter.rank or DEFAULT_RANK for _, adapter in server.adapters))
    return [
        *given,
        "--enable-lora",
        *("--max-lora-rank", str(rank)),
        *("--max-loras", str(min(len(modules), ADAPTERS_IN_A_BATCH))),
        *("--max-cpu-loras", str(len(modules))),
        *("--lora-modules", *modules),
    ]


def lora_rank(highest: int) -> int:
    """The --max-lora-rank with which adapters up to rank `highest` can be loaded."""
    return next((rank for rank in RANKS if rank >= highest), RANKS[-1])
