"""The bounded overlay over the pods that the operator makes."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from finetune_operator.api.affinity import Affinity, Label, LabelMap
from finetune_operator.api.base import ApiModel
from finetune_operator.api.cel import Matches, Rule, Rules, rules
from finetune_operator.api.sources import SecretReference
from finetune_operator.api.text import Name, Quantity


class EnvironmentVariable(ApiModel):
    """A name and its value; never a Secret, because the container runs model code."""

    name: Annotated[
        str,
        Field(min_length=1, max_length=128),
        Matches(r"^[A-Za-z_][A-Za-z0-9_]*$", "must be a name such as OMP_NUM_THREADS"),
        Rules(
            Rule(
                "!self.startsWith('FINETUNE_') && !self.startsWith('PET_')",
                "FINETUNE_… and PET_… are set by the operator: choose another name",
            ),
        ),
    ]
    """Name of the variable."""
    value: Annotated[str, Field(max_length=4096)] = ""
    """Its value. Default: empty."""


Amounts = Annotated[dict[Label, Quantity], Field(max_length=8)]


class ResourceRequirements(ApiModel):
    """Requests and limits of the container."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Rule(
                "!(has(self.limits) && 'nvidia.com/gpu' in self.limits)"
                " && !(has(self.requests) && 'nvidia.com/gpu' in self.requests)",
                "nvidia.com/gpu is set by the operator: remove it; a FineTuneJob asks for GPUs by"
                " compute.gpusPerNode",
            ),
            Rule(
                "!has(self.requests) || !has(self.limits) || self.requests.all(name,"
                " !(name in self.limits) || quantity(string(self.requests[name]))"
                ".compareTo(quantity(string(self.limits[name]))) <= 0)",
                "a request is above its limit: lower the request or raise the limit",
            ),
        )
    )

    requests: Amounts = Field(default={})
    """What the container is given at least, such as `{cpu: "4", memory: 16Gi}`."""
    limits: Amounts = Field(default={})
    """What the container is given at most; past the memory limit the job ends OutOfMemory."""


class Toleration(ApiModel):
    """A taint that is tolerated."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Rule(
                "self.operator != 'Exists' || !has(self.value) || self.value == ''",
                "operator Exists compares no value: remove value, or set operator to Equal",
            ),
            Rule(
                "!has(self.tolerationSeconds) || (has(self.effect) && self.effect == 'NoExecute')",
                "tolerationSeconds is for effect NoExecute only: remove it or set effect",
            ),
        )
    )

    key: Label = ""
    """Key of the taint; empty with operator Exists: any."""
    operator: Literal["Exists", "Equal"] = "Equal"
    """Equal: key and value are those of the taint. Exists: the key is. Default: Equal."""
    value: Annotated[str, Field(max_length=63)] = ""
    """Value of the taint."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """Effect of the taint. Absent: any."""
    toleration_seconds: Annotated[int, Field(ge=0, le=2_147_483_647)] | None = None
    """Seconds for which NoExecute is tolerated. Absent: for ever."""


class PodTemplate(ApiModel):
    """What is added to the pods that run model code; everything else is the operator's."""

    env: Annotated[
        tuple[EnvironmentVariable, ...],
        Field(
            max_length=32,
            json_schema_extra={
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["name"],
            },
        ),
    ] = ()
    """Environment variables of the container."""
    resources: ResourceRequirements = ResourceRequirements()
    """Requests and limits of the container."""
    node_selector: LabelMap = Field(default={})
    """Labels that a node must have."""
    tolerations: Annotated[tuple[Toleration, ...], Field(max_length=16)] = ()
    """Taints that are tolerated, besides those that the operator tolerates."""
    affinity: Affinity | None = None
    """Where the pods may and should run."""
    image_pull_secrets: Annotated[tuple[SecretReference, ...], Field(max_length=8)] = ()
    """Secrets with which the kubelet pulls the images of these pods."""
    service_account_name: Name | None = None
    """ServiceAccount of the pods; its token is not mounted. Absent: default."""
    runtime_class_name: Name | None = None
    """RuntimeClass of the pods. Absent: the cluster's default."""
    priority_class_name: Name | None = None
    """PriorityClass of the pods. Absent: the cluster's default."""
