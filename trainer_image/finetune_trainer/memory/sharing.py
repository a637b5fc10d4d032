"""What each process holds of a training that several share. Pure.

Source of the shares under ZeRO: Rajbhandari et al., "ZeRO: Memory Optimizations Toward Training
Trillion Parameter Models", 2020, section 5; of the copies beside them: DeepSpeed 0.19, torch 2.13.
"""

import math
from dataclasses import dataclass, replace

from finetune_trainer.memory.architecture import Architecture
from finetune_trainer.memory.layout import Layout
from finetune_trainer.recipe import Offload


@dataclass(frozen=True)
class Held:
    """Bytes between one pass and the next."""

    weights: int
    """Frozen ones, or all where all are trained."""
    adapter: int
    gradients: int
    """Alone, as many as what is trained has."""
    optimizer: int
    gathering: int = 0
    """Held for a moment while something is gathered or reduced."""
    updating: int = 0
    """Held for a moment by an update, when the activations are gone."""


def shared(
    alone: Held, layout: Layout, architecture: Architecture, *, full: bool, world: int, gpu: bool
) -> Held:
    """What a process on one of `world` devices holds of what it would hold alone.

    Args:
        full: whether all weights are trained, those of the embedding too.
    """
    if layout.strategy.stage == 0:
        # DistributedDataParallel exchanges gradients through buckets of their size.
        return replace(alone, gradients=alone.gradients * 2) if world > 1 else alone
    held = _zero(alone, layout, architecture, full=full, world=world, gpu=gpu)
    if gpu and layout.offload is not Offload.NONE:
        mine = math.ceil(alone.gradients / world)
        held = replace(held, optimizer=0, gradients=held.gradients - mine)
        if layout.offload is Offload.OPTIMIZER_AND_PARAMETERS and layout.strategy.stage == 3:
            held = replace(held, weights=0)
    return held


def _zero(
    alone: Held, layout: Layout, architecture: Architecture, *, full: bool, world: int, gpu: bool
) -> Held:
    stage, trained = layout.strategy.stage, alone.gradients
    mine = math.ceil(trained / world)
    vocabulary = architecture.vocabulary * architecture.hidden
    # A bucket, or the gradient that is larger than it.
    widest = vocabulary if full else 0
    held = replace(
        alone,
        gradients=mine + (trained if stage == 1 else 0),
        # The update has its own copy of the share, also where the weights are shares themselves.
        optimizer=math.ceil(alone.optimizer / world) + mine,
        gathering=4 * max(architecture.hidden**2, widest),
        # It copies the share of the gradients into one tensor.
        updating=mine,
    )
    if stage == 2 and not gpu:
        # Gloo gathers what was updated through a copy of it all, when no gradients are left.
        held = replace(held, updating=max(mine, trained - mine))
    if stage < 3:
        return held
    # A layer is whole while it computes, and the next one is on its way; so is the embedding, which
    # Gloo gathers through a copy.
    layer = 2 * math.ceil(alone.weights / (architecture.layers + 1))
    embedding = math.ceil(alone.weights * vocabulary / architecture.parameters)
    return replace(
        held,
        weights=math.ceil(alone.weights / world),
        adapter=math.ceil(alone.adapter / world),
        gathering=held.gathering + max(layer, embedding) + (0 if gpu else embedding),
    )
