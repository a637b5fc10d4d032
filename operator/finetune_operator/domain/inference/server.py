"""What one InferenceWorkspace runs, with every choice made, and what its parts are called."""

import hashlib
import json
from dataclasses import dataclass

from finetune_operator.api.fine_tune_class import Images
from finetune_operator.api.inference_revision import Adapter, InferenceRevision
from finetune_operator.api.inference_workspace import InferenceWorkspace, Runtime
from finetune_operator.domain.actions import JsonObject
from finetune_operator.domain.inference.routing import Routing
from finetune_operator.domain.outside import Outside

WORKSPACE = "finetune.dev/workspace"
RUNTIME = "finetune.dev/runtime"
BASE = "base"
"""Name by which the base model answers."""

PORT = 8000
CONFIG_FILE = "serve.json"
CONFIG_PATH = "/etc/finetune"
MODEL_PATH = "/models/base"
ADAPTERS_PATH = "/adapters"
UPSTREAM = "http://127.0.0.1:8001"
"""vLLM: reached only by the router beside it, which obeys `traffic`."""


@dataclass(frozen=True, slots=True)
class Server:
    """What is to run for a workspace."""

    workspace: InferenceWorkspace
    routing: Routing
    runtime: Runtime
    """VLLM or Transformers; Auto is decided."""

    images: Images
    outside: Outside
    """Of the containers that fetch."""
    image_volumes: bool
    """Adapters are mounted as OCI image volumes; otherwise init containers fetch them."""

    @property
    def serve_image(self) -> str:
        return self.images.serve or self.images.trainer

    @property
    def adapters(self) -> tuple[tuple[InferenceRevision, Adapter], ...]:
        """Revisions that have an adapter, newest first."""
        return tuple(
            (revision, revision.spec.adapter)
            for revision in self.routing.served
            if revision.spec.adapter is not None
        )

    @property
    def config(self) -> str:
        """serve.json: the models by name, and the shares of the workspace's own name."""
        with_adapter = {revision.metadata.name for revision, _ in self.adapters}
        config: JsonObject = {
            "name": self.workspace.metadata.name,
            "baseModel": {"name": BASE, "path": MODEL_PATH},
            "revisions": [
                {
                    "name": revision.metadata.name,
                    # A full fine-tune is the base model itself: nothing to load beside it.
                    "path": adapter_path(revision.metadata.name)
                    if revision.metadata.name in with_adapter
                    else None,
                }
                for revision in self.routing.served
            ],
            "traffic": [
                {"revision": route.revision, "percent": route.percent}
                for route in self.routing.routes
            ],
            "upstream": UPSTREAM if self.runtime is Runtime.VLLM else None,
        }
        return json.dumps(config, indent=2, sort_keys=True) + "\n"

    @property
    def config_map_name(self) -> str:
        """Named after its content, so that pods and the configuration they read never differ."""
        digest = hashlib.sha256(self.config.encode()).hexdigest()
        return f"{self.workspace.metadata.name}-{digest[:10]}"


def adapter_path(revision: str) -> str:
    """Where the adapter of a revision is mounted."""
    return f"{ADAPTERS_PATH}/{revision}"


def endpoint(namespace: str, workspace: str) -> str:
    """Base URL of the OpenAI-compatible API within the cluster."""
    return f"http://{workspace}.{namespace}.svc/v1"
