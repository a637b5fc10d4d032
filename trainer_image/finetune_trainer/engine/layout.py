"""How a step is laid out over processes and passes, where the recipe leaves it open.

Here the model's config.json, the memory and the processor are known, whatever was known of them
when the job was accepted.
"""

import json
import logging
import os

import torch

from finetune_trainer import allocator
from finetune_trainer.base_model import BaseModel
from finetune_trainer.cgroup import Cgroup
from finetune_trainer.engine.precision import resolve
from finetune_trainer.engine.world import World
from finetune_trainer.errors import ConfigurationError
from finetune_trainer.memory.architecture import Architecture
from finetune_trainer.memory.choose import choose
from finetune_trainer.memory.estimate import Estimate, estimate
from finetune_trainer.memory.families import UnknownArchitectureError, architecture_from_config
from finetune_trainer.memory.layout import Layout, Machine
from finetune_trainer.memory.sizing import impossible
from finetune_trainer.recipe import Passes, Precision, Recipe

log = logging.getLogger(__name__)


def lay_out(recipe: Recipe, base: BaseModel, world: World) -> Layout:
    """As the recipe says; else the fastest that fits into the memory of every process, by estimate,
    or the one that needs least, where none does. One sequence at a time for a model whose
    architecture is not known.

    Raises:
        ConfigurationError: none can fit, whatever the data are.
    """
    passes = recipe.compute.passes or Passes()
    as_told = Layout(
        passes.micro_batch,
        passes.activation_checkpointing,
        recipe.strategy,
        recipe.distribution.offload,
    )
    if recipe.compute.passes:
        return as_told
    memory = -int(world.maximum([-float(_memory(world))])[0])
    machine = _machine(resolve(recipe.training.precision, world), world.device, memory)
    try:
        architecture = _architecture(base)
    except UnknownArchitectureError as error:
        log.info("one sequence at a time: %s", error)
        return as_told
    if problem := impossible(recipe, architecture, machine, "the memory of a process"):
        raise ConfigurationError(problem)
    layout = choose(recipe, architecture, machine).layout
    log.info(
        "%s, %d sequence(s) of %d tokens in a pass%s",
        layout.strategy,
        layout.micro_batch,
        recipe.training.max_length,
        ", activations computed again" if layout.activation_checkpointing else "",
    )
    return layout


def estimated(
    recipe: Recipe, base: BaseModel, layout: Layout, precision: Precision, device: torch.device
) -> Estimate | None:
    """What was to be expected of rows that are full; None where the architecture is not known."""
    try:
        architecture = _architecture(base)
    except UnknownArchitectureError:
        return None
    return estimate(recipe, architecture, _machine(precision, device), layout)


def _architecture(base: BaseModel) -> Architecture:
    return architecture_from_config(json.loads((base.path / "config.json").read_bytes()))


def _machine(precision: Precision, device: torch.device, memory: int | None = None) -> Machine:
    return Machine(
        gpu=device.type == "cuda",
        bf16=precision is Precision.BF16,
        memory=memory,
        jemalloc=allocator.installed() is not None,
    )


def _memory(world: World) -> int:
    """Bytes that this process may use."""
    if world.device.type == "cuda":
        return torch.cuda.get_device_properties(world.device).total_memory
    return Cgroup().memory_limit() // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
