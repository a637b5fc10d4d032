"""Who computes, what each process holds, and what is kept on the way."""

from enum import StrEnum
from typing import Self

from pydantic import Field, model_validator

from finetune_trainer.frozen import Frozen


class Strategy(StrEnum):
    """What each process holds of its own: all, or its share of more and more."""

    DATA_PARALLEL = "DataParallel"
    ZERO1 = "ZeRO1"
    ZERO2 = "ZeRO2"
    ZERO3 = "ZeRO3"

    @property
    def stage(self) -> int:
        """DeepSpeed's number for it."""
        return list(Strategy).index(self)


class Offload(StrEnum):
    """What lies in the host's memory instead of the GPU's."""

    NONE = "None"
    OPTIMIZER = "Optimizer"
    OPTIMIZER_AND_PARAMETERS = "OptimizerAndParameters"


class Device(StrEnum):
    """Where the run computes; the operator has resolved Auto."""

    CPU = "CPU"
    GPU = "GPU"


class Passes(Frozen):
    """How a process does its share of a step."""

    micro_batch: int = Field(default=1, ge=1)
    """Sequences of training.maxLength tokens in one forward and backward pass, at most."""
    activation_checkpointing: bool = False
    """Keep only what passes between layers, and compute each layer again for its gradient."""


class Compute(Frozen):
    """How many processes share a step: one for each GPU, or one for each node without GPUs; and
    how each does its share. Nothing here changes a result, but for what dropout draws."""

    device: Device
    nodes: int = Field(ge=1)
    gpus_per_node: int = Field(ge=0)
    passes: Passes | None = None
    """None: chosen where it trains, from the model's config.json and the memory that is there."""

    @property
    def processes_per_node(self) -> int:
        return max(1, self.gpus_per_node)

    @property
    def world_size(self) -> int:
        return self.nodes * self.processes_per_node

    @model_validator(mode="after")
    def _gpus_on_gpu_only(self) -> Self:
        if (self.device is Device.GPU) != (self.gpus_per_node > 0):
            raise ValueError("compute.gpusPerNode is above 0 exactly when compute.device is GPU")
        return self


class Distribution(Frozen):
    """What of the model and of its training each process holds. Nothing here changes a result."""

    strategy: Strategy = Strategy.DATA_PARALLEL
    fallbacks: tuple[Strategy, ...] = ()
    """What is taken instead where it does not fit, the fastest first: that is found out where it
    trains, from the model's config.json and the memory that is there."""
    offload: Offload = Offload.NONE


class Checkpoint(Frozen):
    """When checkpoints are written and how many are kept."""

    interval_steps: int = Field(ge=1)
    interval_seconds: int = Field(ge=1)
    keep: int = Field(ge=1)
