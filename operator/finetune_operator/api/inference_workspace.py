"""InferenceWorkspace: the endpoint that answers with published revisions."""

from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field

from finetune_operator.api.base import ApiModel
from finetune_operator.api.cel import Rule, Rules, rules
from finetune_operator.api.conditions import Conditions, ObservedGeneration
from finetune_operator.api.pod_template import PodTemplate
from finetune_operator.api.resource import Kind, PrinterColumn, Resource, name_rule
from finetune_operator.api.text import WORKSPACE_NAME_LENGTH, Name

Percent = Annotated[int, Field(ge=0, le=100)]
RevisionName = Annotated[str, Field(min_length=1, max_length=63)]


class Runtime(StrEnum):
    """What serves."""

    AUTO = "Auto"
    VLLM = "VLLM"
    TRANSFORMERS = "Transformers"


class TrafficTarget(ApiModel):
    """A revision and its share of the requests."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Rule(
                "(has(self.latestRevision) && self.latestRevision) != has(self.revisionName)",
                "give exactly one of latestRevision: true and revisionName",
            ),
        )
    )

    latest_revision: bool | None = None
    """True: the newest revision of the workspace."""
    revision_name: RevisionName | None = None
    """Name of an InferenceRevision of the workspace."""
    percent: Percent
    """Share of the requests that ask for the workspace by its name. 0 to 100."""


class InferenceWorkspaceSpec(ApiModel):
    """What serves, how many, and who gets which share."""

    class_name: Name = "default"
    """FineTuneClass: images. Default: default."""
    runtime: Runtime = Runtime.AUTO
    """VLLM (GPU), Transformers (CPU), or Auto: VLLM where a node offers a GPU and the class has
    its image, else Transformers. Default: Auto."""
    replicas: Annotated[int, Field(ge=0, le=100)] = 1
    """Pods that serve; 0 switches it off. Default: 1."""
    traffic: Annotated[
        tuple[TrafficTarget, ...],
        Field(min_length=1, max_length=16),
        Rules(
            Rule(
                "self.size() == 0 || self.map(t, t.percent).sum() == 100",
                "percent must sum to 100 over all of traffic",
            ),
            Rule(
                "self.all(t, !has(t.revisionName) || self.exists_one(u,"
                " has(u.revisionName) && u.revisionName == t.revisionName))",
                "a revisionName is given twice: add up the two",
            ),
            Rule(
                "self.filter(t, has(t.latestRevision) && t.latestRevision).size() <= 1",
                "latestRevision is given twice: add up the two",
            ),
        ),
    ] = (TrafficTarget(latest_revision=True, percent=100),)
    """Shares of the requests that ask for the workspace by its name; the user's alone. Every
    revision also answers by its own name. Default: all to the latest revision."""
    revision_history_limit: Annotated[int, Field(ge=1, le=100)] = 5
    """Revisions that are kept; older ones without traffic are deleted. Default: 5."""
    pod_template: PodTemplate = PodTemplate()
    """What is added to the serving pods."""


class RevisionTraffic(ApiModel):
    """A revision that is served."""

    name: RevisionName
    """Name of the InferenceRevision."""
    percent: Percent
    """Its share of the requests."""


class InferenceWorkspaceStatus(ApiModel):
    """Written by the operator."""

    observed_generation: ObservedGeneration | None = None
    """metadata.generation that this status speaks of; -1 until the operator has looked."""
    conditions: Conditions = ()
    """Ready, Available, RevisionsAccepted; and Reconciling and Stalled, as kstatus reads them."""
    endpoint: Annotated[str, Field(max_length=1024)] | None = None
    """Base URL of the OpenAI-compatible API, within the cluster."""
    base_model: Annotated[str, Field(max_length=1024)] | None = None
    """The base model that all served revisions share: storageUri, and @revision if it has one."""
    revisions: Annotated[tuple[RevisionTraffic, ...], Field(max_length=128)] = ()
    """Revisions that answer by name, and their shares of what the workspace is asked."""


class InferenceWorkspace(Kind):
    """An OpenAI-compatible endpoint: the base model and every published revision answer by name,
    and `traffic` splits what is asked of the workspace itself."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            name_rule(WORKSPACE_NAME_LENGTH, "a Service of this name is made"),
        )
    )

    resource: ClassVar[Resource] = Resource(
        plural="inferenceworkspaces",
        short_names=("iw",),
        columns=(
            PrinterColumn("Ready", ".status.conditions[?(@.type=='Ready')].status"),
            PrinterColumn("Endpoint", ".status.endpoint"),
            PrinterColumn("Age", ".metadata.creationTimestamp", type="date"),
            PrinterColumn("Base", ".status.baseModel", wide=True),
            PrinterColumn("Reason", ".status.conditions[?(@.type=='Ready')].reason", wide=True),
        ),
    )

    api_version: Literal["finetune.dev/v1beta1"] = "finetune.dev/v1beta1"
    kind: Literal["InferenceWorkspace"] = "InferenceWorkspace"
    spec: InferenceWorkspaceSpec = InferenceWorkspaceSpec()
    """What serves."""
    status: InferenceWorkspaceStatus = InferenceWorkspaceStatus()
    """How it goes."""
