"""Where results go: pushed as an image, and published to be asked."""

from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field, JsonValue

from finetune_operator.api.affinity import Label, Value
from finetune_operator.api.base import ApiModel
from finetune_operator.api.cel import Matches, Rule, rules
from finetune_operator.api.sources import SecretReference
from finetune_operator.api.text import URI_LENGTH, WorkspaceName
from finetune_trainer.recipe import Export

OutputUri = Annotated[
    str,
    Field(min_length=1, max_length=URI_LENGTH),
    Matches(
        r"^oci://[a-zA-Z0-9.-]+(:[0-9]+)?(/[a-z0-9._-]+)+:[A-Za-z0-9_][A-Za-z0-9._-]{0,111}$",
        "must be oci://registry/repository:tag; the tag is needed, in up to 112 characters, and a"
        " digest is not possible, because the image is yet to be made",
    ),
]


_SET: dict[str, JsonValue] = {"x-kubernetes-list-type": "set"}


class Output(ApiModel):
    """The image that the result is pushed as."""

    storage_uri: OutputUri
    """`oci://registry/repository:tag`. The digest of what was pushed is in status.artifacts."""
    exports: Annotated[
        tuple[Export, ...],
        Field(min_length=1, max_length=len(Export), json_schema_extra=_SET),
    ] = (Export.ADAPTER,)
    """What is pushed, an image for each. Adapter: what was trained, under the tag as given; of
    method Full that is the model itself. The others end the tag in their name, such as v1-merged:
    Merged (the adapter merged into the base model, in its own number format), ONNX (the merged
    model for ONNX Runtime), ONNXAdapter (the base model and the adapter, which ONNX Runtime
    switches on and off), ONNXInt8 (the merged model with 8-bit weights), AIToolkit (a folder that
    AI Toolkit for VS Code adds as a local model), GGUF (a file that Ollama reads). Default:
    [Adapter]."""
    credentials_secret_ref: SecretReference | None = None
    """Secret of type kubernetes.io/dockerconfigjson that may push. Mounted only into the
    publishing container. Absent: the registry takes anonymous pushes."""


class PublishType(StrEnum):
    """Who serves the result."""

    NONE = "None"
    WORKSPACE = "Workspace"
    KAITO = "KAITO"


class PublishWorkspace(ApiModel):
    """An InferenceWorkspace of this namespace."""

    name: WorkspaceName
    """Name of the InferenceWorkspace that gets a new revision; it is made when there is none."""


class LabelSelector(ApiModel):
    """Which nodes, by label."""

    match_labels: Annotated[dict[Label, Value], Field(min_length=1, max_length=16)]
    """Labels that the nodes have."""


class PublishKAITO(ApiModel):
    """A KAITO Workspace of this namespace, named like the job."""

    instance_type: Annotated[
        str,
        Field(max_length=64),
        Matches(r"^[A-Za-z0-9_]*$", "must be an instance type such as Standard_NC24ads_A100_v4"),
    ] = ""
    """Instance type that KAITO provisions. Empty: nodes that are there already. Default: empty."""
    label_selector: LabelSelector
    """Nodes that serve, by label."""


class Publish(ApiModel):
    """A type and the member of its name."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Rule(
                "(self.type == 'Workspace') == has(self.workspace)",
                "workspace is given exactly when type is Workspace: name the InferenceWorkspace,"
                " such as workspace: {name: support}",
                field=".type",
            ),
            Rule(
                "(self.type == 'KAITO') == has(self.kaito)",
                "kaito is given exactly when type is KAITO: name the nodes, such as"
                " kaito: {labelSelector: {matchLabels: {apps: support}}}",
                field=".type",
            ),
        )
    )

    type: PublishType = PublishType.NONE
    """None: the image is all. Workspace: a new revision of an InferenceWorkspace. KAITO: a KAITO
    Workspace. Default: None."""
    workspace: PublishWorkspace | None = None
    """Settings of type Workspace."""
    kaito: PublishKAITO | None = None
    """Settings of type KAITO."""
