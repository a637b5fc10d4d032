"""The processes that share each step."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from finetune_trainer.errors import ConfigurationError
from finetune_trainer.recipe import Device, Recipe, Strategy

TIMEOUT = timedelta(minutes=10)
"""Longest wait for another process: above the slowest step, below a person's patience."""


@dataclass(frozen=True)
class World:
    """This process among all."""

    rank: int
    size: int
    device: torch.device

    @property
    def leads(self) -> bool:
        """Whether this process writes checkpoints, progress and results."""
        return self.rank == 0

    def sum(self, values: Sequence[float]) -> list[float]:
        """The sums over all processes."""
        return self._reduce(values, distributed.ReduceOp.SUM)

    def maximum(self, values: Sequence[float]) -> list[float]:
        """The maxima over all processes."""
        return self._reduce(values, distributed.ReduceOp.MAX)

    def _reduce(
        self, values: Sequence[float], operation: distributed.ReduceOp.RedOpType
    ) -> list[float]:
        # On the CPU even when training on GPUs: agreeing must not wait for queued kernels.
        tensor = torch.tensor(values, dtype=torch.float64)
        if self.size > 1:
            distributed.all_reduce(tensor, operation)
        return [float(value) for value in tensor]


def join(recipe: Recipe) -> World:
    """Meet the other processes, as the launcher's environment says (RANK, WORLD_SIZE, …).

    Raises:
        ConfigurationError: there is no GPU for this process.
    """
    device = recipe.compute.device
    rank = int(os.environ.get("RANK", "0"))
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if device is Device.GPU:
        here = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        if torch.cuda.device_count() <= (here.index or 0):
            raise ConfigurationError(
                f"compute.device is GPU, but the container sees {torch.cuda.device_count()} GPUs: "
                "set compute.gpusPerNode and the image to what the nodes offer, or device: CPU"
            )
        torch.cuda.set_device(here)
    else:
        here = torch.device("cpu")
        # accelerate calls it cpu:0 where processes share the work, which torch takes for another
        # device: each weight was copied when the model was placed, and again when it was wrapped.
        os.environ["ACCELERATE_TORCH_DEVICE"] = "cpu"
    backend = "cpu:gloo,cuda:nccl" if device is Device.GPU else "gloo"
    if size > 1:
        distributed.init_process_group(backend, timeout=TIMEOUT)
    elif recipe.strategies != (Strategy.DATA_PARALLEL,):
        # DeepSpeed asks for a group also where one process leaves a part in the host's memory.
        store = distributed.HashStore()  # type: ignore[attr-defined]
        distributed.init_process_group(backend, store=store, rank=0, world_size=1)
    return World(rank, size, here)


def keep_frozen_weights(model: torch.nn.Module) -> None:
    """Let DistributedDataParallel leave alone what is not trained.

    All processes have read it from the same files. It would send the whole model all the same when
    it begins, through copies of up to 250 MiB, which is more than a small adapter needs in all.
    """
    frozen = [name for name, each in model.named_parameters() if not each.requires_grad]
    # torch has no other way yet: https://github.com/pytorch/pytorch/issues/43690
    wrapper: Any = DistributedDataParallel  # torch leaves it untyped
    wrapper._set_params_and_buffers_to_ignore_for_model(model, frozen)


def leave() -> None:
    """Part from the others in good order."""
    if distributed.is_initialized():
        distributed.destroy_process_group()
