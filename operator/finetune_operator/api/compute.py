"""Where a job runs, what it keeps on disk and how often it may fail."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from finetune_operator.api.base import ApiModel
from finetune_operator.api.cel import Matches, Rule, rules
from finetune_operator.api.pod_template import PodTemplate
from finetune_operator.api.text import Name, Size


class DeviceChoice(StrEnum):
    """What computes. FPGA can be said, so that it is refused with the reason."""

    AUTO = "Auto"
    GPU = "GPU"
    CPU = "CPU"
    FPGA = "FPGA"


InstanceType = Annotated[
    str,
    Field(min_length=1, max_length=64),
    Matches(
        r"^[A-Za-z0-9][-A-Za-z0-9_.]*$",
        "must be an instance type such as Standard_NC24ads_A100_v4",
    ),
]


class CapacityChoice(StrEnum):
    """How nodes are paid for."""

    ON_DEMAND = "OnDemand"
    SPOT = "Spot"
    SPOT_PREFERRED = "SpotPreferred"


class Compute(ApiModel):
    """Devices, nodes and pods of the training."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Rule(
                "self.device != 'FPGA'",
                "training on FPGA is not possible: no FPGA toolchain computes gradients;"
                " use GPU or CPU",
                field=".device",
            ),
            Rule(
                "self.device != 'CPU' || self.gpusPerNode == 1",
                "gpusPerNode has no meaning on device CPU: remove it or set device to GPU",
                field=".gpusPerNode",
            ),
            Rule(
                "!has(self.minNodes) || self.minNodes <= self.nodes",
                "minNodes cannot be more than nodes: lower it, or remove it to go on only with all"
                " nodes",
                field=".minNodes",
            ),
        )
    )

    device: DeviceChoice = DeviceChoice.AUTO
    """What computes: GPU, CPU, or Auto: GPU where a node of the cluster offers one, or where the
    FineTuneClass gets nodes with GPUs, else CPU. FPGA is refused: nothing trains on it.
    Default: Auto."""
    nodes: Annotated[int, Field(ge=1, le=64)] = 1
    """Nodes that train together, one pod on each. More than 1 needs a volume that they share: see
    checkpoint.volumeClaim. Default: 1."""
    min_nodes: Annotated[int, Field(ge=1, le=64)] | None = None
    """With how few nodes training goes on after an attempt has ended, where the others do not come
    within minNodesAfterSeconds. Batch and result stay the same, each node computes more of it; the
    next attempt asks for all nodes again. Absent: as many as nodes."""
    min_nodes_after_seconds: Annotated[int, Field(ge=0, le=86_400)] = 300
    """How long an attempt after the first waits for all nodes before it starts with fewer.
    Default: 300."""
    gpus_per_node: Annotated[int, Field(ge=1, le=16)] = 1
    """GPUs of each node, used on GPU only. Default: 1."""
    capacity_type: CapacityChoice = CapacityChoice.ON_DEMAND
    """How nodes are paid for, where the FineTuneClass gets them: OnDemand, Spot (cheaper, and taken
    back at any moment; training goes on from its checkpoint), or SpotPreferred: Spot of every
    instance type first. Default: OnDemand."""
    instance_types: Annotated[tuple[InstanceType, ...], Field(max_length=16)] = ()
    """Machines that may be used, in order of preference. Empty: any."""
    pod_template: PodTemplate = PodTemplate()
    """What is added to the training pods."""


AccessMode = Literal["ReadWriteOnce", "ReadWriteMany"]


class VolumeClaim(ApiModel):
    """The PersistentVolumeClaim that holds inputs, checkpoints and output of the job."""

    size: Size = "20Gi"
    """Bytes: base model, data, `keep` checkpoints and the output have to fit. Default: 20Gi."""
    storage_class_name: Name | None = None
    """StorageClass. Absent: the cluster's default."""
    access_modes: Annotated[tuple[AccessMode, ...], Field(min_length=1, max_length=2)] = (
        "ReadWriteOnce",
    )
    """ReadWriteOnce, or ReadWriteMany: needed for more than one node.
    Default: [ReadWriteOnce]."""


class Checkpoint(ApiModel):
    """What is lost at most when a pod is killed; on eviction and suspension nothing is."""

    interval_steps: Annotated[int, Field(ge=1, le=1_000_000)] = 50
    """Optimizer steps between checkpoints. Default: 50."""
    interval_seconds: Annotated[int, Field(ge=1, le=604_800)] = 600
    """Seconds after which a checkpoint is written although intervalSteps is not reached.
    Default: 600."""
    keep: Annotated[int, Field(ge=1, le=100)] = 2
    """Checkpoints that are kept, the newest ones. Default: 2."""
    volume_claim: VolumeClaim = VolumeClaim()
    """The volume of the job."""


class Restarts(ApiModel):
    """How often training starts again by itself."""

    limit: Annotated[int, Field(ge=0, le=100)] = 3
    """Failures after which the job is Failed. Disruptions, suspension and preemption are not
    counted; errors that another attempt cannot help end the job at once. Default: 3."""
