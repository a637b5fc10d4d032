"""Workspaces, revisions and what is seen of them, with defaults for whatever a test leaves out."""

from datetime import UTC, datetime, timedelta
from typing import Any

from finetune_operator.api.fine_tune_class import FineTuneClass
from finetune_operator.api.inference_revision import InferenceRevision
from finetune_operator.api.inference_workspace import InferenceWorkspace
from finetune_operator.domain.actions import JsonObject
from finetune_operator.domain.inference.observed import Observed

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
UID = "7b1c5c6e-0000-4000-8000-000000000001"
BASE = {"storageUri": "hf://microsoft/Phi-3-mini-4k-instruct", "revision": "0a67737"}
OTHER_BASE = {"storageUri": "hf://Qwen/Qwen2.5-0.5B-Instruct", "revision": "7ae5576"}
DIGEST = "sha256:" + "ab" * 32
CLASS = FineTuneClass.model_validate(
    {
        "metadata": {"name": "default"},
        "spec": {
            "images": {
                "trainer": f"registry.example.com/trainer@{DIGEST}",
                "vllm": f"registry.example.com/vllm@{DIGEST}",
            }
        },
    }
)


def revision(number: int, model: dict[str, Any] | None = None, **adapter: Any) -> InferenceRevision:
    """`support-000N`, an hour younger than the one before; an adapter unless `full`."""
    full = adapter.pop("full", False)
    made = {"image": f"registry.example.com/adapters/support@{DIGEST}", "rank": 16} | adapter
    spec = {"workspaceName": "support", "model": model or BASE}
    return InferenceRevision.model_validate(
        {
            "metadata": {
                "name": f"support-{number:04d}",
                "namespace": "ml",
                "uid": f"uid-{number}",
                "creationTimestamp": NOW + timedelta(hours=number),
                "labels": {"finetune.dev/workspace": "support"},
            },
            "spec": spec if full else spec | {"adapter": made},
        }
    )


def full_revision(number: int) -> InferenceRevision:
    """A full fine-tune: each is a base model of its own."""
    digest = f"sha256:{number:064x}"
    model = {"storageUri": f"oci://registry.example.com/models/support@{digest}"}
    return revision(number, model, full=True)


def workspace(status: dict[str, Any] | None = None, **spec: Any) -> InferenceWorkspace:
    """`support` in namespace `ml`."""
    return InferenceWorkspace.model_validate(
        {
            "metadata": {"name": "support", "namespace": "ml", "uid": UID, "generation": 1},
            "spec": spec,
            "status": status or {},
        }
    )


def traffic(**shares: int) -> list[JsonObject]:
    """`traffic(latest=10, n3=90)`: 10 percent to the latest, 90 to support-0003."""
    return [
        {"latestRevision": True, "percent": percent}
        if name == "latest"
        else {"revisionName": f"support-{int(name[1:]):04d}", "percent": percent}
        for name, percent in shares.items()
    ]


def seen(**given: Any) -> Observed:
    """One workspace with one revision on a cluster without GPUs, before anything was made."""
    return Observed(
        **{
            "workspace": workspace(),
            "finetune_class": CLASS,
            "revisions": (revision(1),),
            **given,
        }
    )
