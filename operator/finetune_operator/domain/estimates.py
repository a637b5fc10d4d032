"""How long a training takes and what it costs, as far as anybody can know before it runs.

A time is given only for what was measured: one GPU of a kind, a model and passes at least as large
as those that were measured, in BF16. It is that of the slowest such step, and of training alone:
fetching, loading, evaluating and checkpoints come on top.
"""

import math
from decimal import ROUND_CEILING, Decimal

from finetune_operator.domain.instances.catalogue import Instance
from finetune_trainer.memory.architecture import Architecture
from finetune_trainer.memory.choose import Choice
from finetune_trainer.memory.estimate import in_bf16, step_flops
from finetune_trainer.recipe import Recipe

_CENT = Decimal("0.01")


def training_seconds(
    recipe: Recipe,
    architecture: Architecture,
    machine: Instance,
    choice: Choice,
    steps: int,
    *,
    tflops: float | None = None,
) -> int | None:
    """Of that many optimizer steps; None where nothing like it was measured.

    Args:
        tflops: 10¹² operations a second that each process reaches, where somebody knows it.
    """
    layout = choice.layout
    if tflops is None:
        tflops = _measured(recipe, architecture, machine, choice)
    if tflops is None:
        return None
    every = tflops * 1e12 * recipe.compute.world_size
    return math.ceil(steps * step_flops(recipe, architecture, layout) / every)


def _measured(
    recipe: Recipe, architecture: Architecture, machine: Instance, choice: Choice
) -> float | None:
    measured = machine.gpu.measured
    if measured is None:
        return None
    known = (
        recipe.compute.world_size == 1
        and in_bf16(recipe, machine.gpu.machine)
        and architecture.parameters >= measured.parameters
        and choice.layout.micro_batch * recipe.training.max_length >= measured.tokens_per_pass
    )
    return measured.tflops if known else None


def cost_of(hourly: Decimal, seconds: int) -> Decimal:
    """Of what costs so much an hour, in cents."""
    return in_cents(hourly * seconds / 3600)


def in_cents(amount: Decimal) -> Decimal:
    """Rounded up."""
    return amount.quantize(_CENT, ROUND_CEILING)
