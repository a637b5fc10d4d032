"""FineTuneClass: what a tenant may not decide alone."""

from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from finetune_operator.api.base import ApiModel
from finetune_operator.api.cel import Matches
from finetune_operator.api.resource import Kind, PrinterColumn, Resource
from finetune_operator.api.text import Host, ImageReference

RegistryPattern = Annotated[
    str,
    Field(min_length=1, max_length=253),
    Matches(
        r"^[a-zA-Z0-9*][-a-zA-Z0-9.*]*(:[0-9]{1,5})?(/[-a-z0-9._*/]+)?$",
        "must be a registry with an optional path, such as registry.example.com,"
        " *.azurecr.io or registry.example.com/team-a/*",
    ),
]


RunningJobs = Annotated[int, Field(ge=1, le=100_000)]


class Images(ApiModel):
    """Images of the pods that the operator makes."""

    trainer: ImageReference
    """Fetches, checks, trains and publishes. Best by digest: it becomes part of the result."""
    serve: ImageReference | None = None
    """Serves with the Transformers runtime. Absent: the trainer image."""
    vllm: ImageReference | None = None
    """Serves with vLLM on GPU. Absent: runtime VLLM is refused."""


class ProvisionerType(StrEnum):
    """Where nodes come from."""

    EXISTING = "Existing"


class Provisioner(ApiModel):
    """Where nodes come from."""

    type: ProvisionerType = ProvisionerType.EXISTING
    """Existing: the nodes that the cluster has. Default: Existing."""


class Allowed(ApiModel):
    """What jobs of this class may ask for."""

    registries: Annotated[tuple[RegistryPattern, ...], Field(max_length=64)] = ()
    """Registries that oci:// sources are fetched from and results are pushed to; `*` stands for
    any characters. Empty: any."""
    max_nodes: Annotated[int, Field(ge=1, le=64)] | None = None
    """Highest compute.nodes. Absent: 64."""
    max_running_jobs: RunningJobs | None = None
    """Jobs of the class that may train at a time; the others wait in a fair order. A job keeps its
    place from its first attempt until it is trained, suspended or over. Absent: any number."""
    max_running_jobs_per_namespace: RunningJobs | None = None
    """The same for the jobs of one namespace. Absent: any number."""


class FineTuneClassSpec(ApiModel):
    """Images, nodes and limits of the jobs of this class."""

    images: Images
    """Images of the pods."""
    provisioner: Provisioner = Provisioner()
    """Where nodes come from."""
    allowed: Allowed = Allowed()
    """What jobs may ask for."""
    insecure_registries: Annotated[tuple[Host, ...], Field(max_length=16)] = ()
    """Registries spoken to over plain HTTP, host:port; for development only. Default: none."""


class FineTuneClass(Kind):
    """What a tenant may not decide alone: images, nodes and limits. Cluster-scoped, like a
    StorageClass; the chart makes `default`."""

    resource: ClassVar[Resource] = Resource(
        plural="finetuneclasses",
        short_names=("ftc",),
        namespaced=False,
        columns=(
            PrinterColumn("Provisioner", ".spec.provisioner.type"),
            PrinterColumn("Max Nodes", ".spec.allowed.maxNodes", type="integer"),
            PrinterColumn("Age", ".metadata.creationTimestamp", type="date"),
            PrinterColumn("Trainer", ".spec.images.trainer", wide=True),
        ),
    )

    api_version: Literal["finetune.dev/v1beta1"] = "finetune.dev/v1beta1"
    kind: Literal["FineTuneClass"] = "FineTuneClass"
    spec: FineTuneClassSpec
    """What the platform team decides."""
