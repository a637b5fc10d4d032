"""FineTuneClass: what a tenant may not decide alone."""

from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field

from finetune_operator.api.base import ApiModel
from finetune_operator.api.budget import ClassBudget
from finetune_operator.api.cel import Matches, Rule, rules
from finetune_operator.api.network import Network
from finetune_operator.api.provisioner import Provisioner
from finetune_operator.api.resource import Kind, PrinterColumn, Resource
from finetune_operator.api.text import Host, ImageReference, Name

RegistryPattern = Annotated[
    str,
    Field(min_length=1, max_length=253),
    Matches(
        r"^[a-zA-Z0-9*][-a-zA-Z0-9.*]*(:[0-9]{1,5})?(/[-a-z0-9._*/]+)?$",
        "must be a registry with an optional path, such as registry.example.com,"
        " *.azurecr.io or registry.example.com/team-a/*",
    ),
]


InstanceTypePattern = Annotated[
    str,
    Field(min_length=1, max_length=64),
    Matches(r"^[-A-Za-z0-9_.*]+$", "must be an instance type, in which `*` stands for anything"),
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


class Allowed(ApiModel):
    """What jobs of this class may ask for."""

    registries: Annotated[tuple[RegistryPattern, ...], Field(max_length=64)] = ()
    """Registries that oci:// sources are fetched from and results are pushed to; `*` stands for
    any characters. Empty: any."""
    instance_types: Annotated[tuple[InstanceTypePattern, ...], Field(max_length=64)] = ()
    """Machines that jobs may name; `*` stands for any characters, such as Standard_NC*. Empty:
    any."""
    max_nodes: Annotated[int, Field(ge=1, le=64)] | None = None
    """Highest compute.nodes. Absent: 64."""
    max_running_jobs: RunningJobs | None = None
    """Jobs of the class that may train at a time; the others wait in a fair order. A job keeps its
    place from its first attempt until it is trained, suspended or over. Absent: any number."""
    max_running_jobs_per_namespace: RunningJobs | None = None
    """The same for the jobs of one namespace. Absent: any number."""


class ModelCache(ApiModel):
    """A volume of each namespace in which models lie once for all of its jobs."""

    claim_name: Name
    """PersistentVolumeClaim of the job's namespace, with ReadWriteMany. Models of hf:// and oci://
    are fetched into it by what they are, compared with their digest whenever they are taken, and
    read where they lie. Jobs of a namespace without that claim fetch into their own volume, as they
    do where the claim is full."""


class FineTuneClassSpec(ApiModel):
    """Images, nodes and limits of the jobs of this class."""

    images: Images
    """Images of the pods."""
    provisioner: Provisioner = Provisioner()
    """Where nodes come from."""
    allowed: Allowed = Allowed()
    """What jobs may ask for."""
    budget: ClassBudget = ClassBudget()
    """What jobs may spend on nodes."""
    model_cache: ModelCache | None = None
    """Where models are shared. Absent: each job fetches its own."""
    network: Network = Network()
    """How pods reach what is outside the cluster: proxy, authorities, a mirror of the hub."""
    insecure_registries: Annotated[tuple[Host, ...], Field(max_length=16)] = ()
    """Registries spoken to over plain HTTP, host:port; for development only. Default: none."""


class FineTuneClass(Kind):
    """What a tenant may not decide alone: images, nodes and limits. Cluster-scoped, like a
    StorageClass; the chart makes `default`."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Rule(
                "oldSelf.spec.provisioner.type == 'Existing'"
                " || self.spec.provisioner.type == oldSelf.spec.provisioner.type",
                "jobs of this class may hold nodes, and only where they came from can they be given"
                " back: make another class",
                field=".spec.provisioner.type",
            ),
            Rule(
                "!has(oldSelf.spec.budget)"
                " || self.spec.budget.currency == oldSelf.spec.budget.currency",
                "jobs of this class have been counted in its currency: make another class",
                field=".spec.budget.currency",
            ),
            *(
                Rule(
                    "self.spec.provisioner.type != 'Existing'"
                    f" || !has(self.spec.budget) || !has(self.spec.budget.{limit})",
                    f"{limit} needs nodes that are got for a job, whose cost is known: remove it,"
                    " or set provisioner.type AKS, Karpenter or KAITO",
                    field=f".spec.budget.{limit}",
                )
                for limit in ("maxCostPerJob", "maxCostPerNamespacePerMonth")
            ),
        )
    )

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
