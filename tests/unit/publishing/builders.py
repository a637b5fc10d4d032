"""A FineTuneJob that has been trained and pushed."""

from typing import Any

from finetune_operator.api.fine_tune_job import FineTuneJob
from finetune_operator.api.fine_tune_job_status import Artifact
from finetune_operator.domain.actions import Create, JsonObject
from finetune_operator.domain.publication import Publication

DIGEST = "sha256:" + "ab" * 32
RECIPE_DIGEST = "sha256:" + "cd" * 32
COMMIT = "0a67737cc96d2554230f90338b163bc6380a2a85"
ADAPTER = Artifact.model_validate(
    {"kind": "Adapter", "uri": f"oci://registry.example.com/adapters/phi3@{DIGEST}", "bytes": 1}
)
MODEL = Artifact.model_validate(
    {"kind": "Model", "uri": f"oci://registry.example.com/models/phi3@{DIGEST}", "bytes": 1}
)
WORKSPACE = {"type": "Workspace", "workspace": {"name": "support"}}


def job(
    publish: dict[str, Any] | None = None, uid: str = "job-uid", revision: str = "", **spec: Any
) -> FineTuneJob:
    """`phi3` in namespace `ml`; `revision` is what its status says was published."""
    published = {"published": {"revision": revision}} if revision else {}
    return FineTuneJob.model_validate(
        {
            "metadata": {"name": "phi3", "namespace": "ml", "uid": uid, "generation": 1},
            "spec": {
                "model": {"storageUri": "hf://microsoft/Phi-3-mini-4k-instruct"},
                "task": "Chat",
                "dataset": {"train": [{"storageUri": "pvc://data/train.jsonl"}]},
                "output": {"storageUri": "oci://registry.example.com/adapters/phi3:v1"},
                "publish": publish or WORKSPACE,
                **spec,
            },
            "status": {
                "resolved": {"modelRevision": COMMIT, "recipeDigest": RECIPE_DIGEST},
                **published,
            },
        }
    )


def created(publication: Publication) -> list[JsonObject]:
    """What it asks to be created."""
    return [dict(each.manifest) for each in publication.actions if isinstance(each, Create)]
