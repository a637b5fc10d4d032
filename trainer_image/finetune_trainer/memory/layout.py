"""How a step is laid out over devices and passes."""

from dataclasses import dataclass
from enum import Enum, auto

from finetune_trainer.recipe import Offload, Passes, Strategy


@dataclass(frozen=True)
class Layout:
    """Choices that change memory and time, but no result."""

    micro_batch: int = 1
    """Sequences of maxLength tokens in one forward and backward pass."""
    activation_checkpointing: bool = False
    """Keep only what passes between layers, and compute each layer again for its gradient."""
    strategy: Strategy = Strategy.DATA_PARALLEL
    offload: Offload = Offload.NONE

    @property
    def passes(self) -> Passes:
        """Of a step, as a recipe says it."""
        return Passes(
            micro_batch=self.micro_batch, activation_checkpointing=self.activation_checkpointing
        )


class Allocator(Enum):
    """Who hands out a device's memory."""

    TORCH = auto()
    """Of a GPU."""
    JEMALLOC = auto()
    """Of a processor, in the trainer's image and wherever else it is installed."""
    GLIBC = auto()


@dataclass(frozen=True)
class Machine:
    """One device, as a process has it."""

    gpu: bool
    bf16: bool
    """Whether it multiplies bfloat16 in hardware."""
    memory: int | None = None
    """Bytes that the process may use; None where unknown."""
    flops_per_second: float | None = None
    """Floating-point operations a second that products of matrices of this size reach."""
    jemalloc: bool = True
    """Whether processes that compute on a processor have it; see allocator.py."""

    @property
    def allocator(self) -> Allocator:
        """Of the device's memory."""
        if self.gpu:
            return Allocator.TORCH
        return Allocator.JEMALLOC if self.jemalloc else Allocator.GLIBC
