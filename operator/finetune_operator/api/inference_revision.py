"""InferenceRevision: one publication, never changed."""

from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field

from finetune_operator.api.base import ApiModel
from finetune_operator.api.cel import Rule, rules
from finetune_operator.api.resource import Kind, PrinterColumn, Resource, name_rule
from finetune_operator.api.sources import ModelSource, SecretReference
from finetune_operator.api.text import Digest, ImageDigestReference, Name, WorkspaceName
from finetune_trainer.recipe import MethodType


class Adapter(ApiModel):
    """The adapter, as an image with /data/adapter_config.json and its weights."""

    image: ImageDigestReference
    """The image, by digest."""
    pull_secrets: Annotated[tuple[SecretReference, ...], Field(max_length=1)] = ()
    """Secret of type kubernetes.io/dockerconfigjson that may pull it, if it needs one.
    Default: none."""
    method: MethodType = MethodType.LORA
    """Method that it was trained with: vLLM loads LoRA only. Default: LoRA."""
    rank: Annotated[int, Field(ge=1, le=512)] | None = None
    """Rank of the adapter: vLLM must be told the largest. Absent: 16, vLLM's own default."""


class Provenance(ApiModel):
    """What it was made by."""

    fine_tune_job: Name
    """Name of the FineTuneJob; it may be gone."""
    recipe_digest: Digest
    """sha256 of the recipe of the training."""


class InferenceRevisionSpec(ApiModel):
    """A model, or a base model and an adapter."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Rule(
                "self == oldSelf",
                "a revision never changes: create another InferenceRevision",
            ),
        )
    )

    workspace_name: WorkspaceName
    """InferenceWorkspace that it belongs to."""
    model: ModelSource
    """The base model; without an adapter, the tuned model itself."""
    adapter: Adapter | None = None
    """The adapter. Absent: the model is served as it is."""
    provenance: Provenance | None = None
    """What made it. Absent: a person did."""


class InferenceRevision(Kind):
    """One publication of a result. Immutable, made by publishing; survives its FineTuneJob."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            name_rule(63, "models are asked by this name"),
        )
    )

    resource: ClassVar[Resource] = Resource(
        plural="inferencerevisions",
        short_names=("ir",),
        columns=(
            PrinterColumn("Workspace", ".spec.workspaceName"),
            PrinterColumn("Job", ".spec.provenance.fineTuneJob"),
            PrinterColumn("Age", ".metadata.creationTimestamp", type="date"),
            PrinterColumn("Model", ".spec.model.storageUri", wide=True),
            PrinterColumn("Adapter", ".spec.adapter.image", wide=True),
        ),
    )

    api_version: Literal["finetune.dev/v1beta1"] = "finetune.dev/v1beta1"
    kind: Literal["InferenceRevision"] = "InferenceRevision"
    spec: InferenceRevisionSpec
    """What is served."""
