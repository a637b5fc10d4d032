"""The fastest layout whose estimate fits."""

from collections.abc import Iterator
from dataclasses import dataclass

from finetune_trainer.memory.architecture import Architecture
from finetune_trainer.memory.estimate import Estimate, estimate
from finetune_trainer.memory.layout import Layout, Machine
from finetune_trainer.recipe import Recipe

SHARE = 0.92
"""Of the memory that is planned with: the rest is for what an estimate cannot see."""

ENOUGH_TOKENS = {True: 4096, False: 1024}
"""Of a pass, by whether on a GPU: more make products of matrices no faster, and cost memory."""


@dataclass(frozen=True)
class Choice:
    """A layout and what it takes."""

    layout: Layout
    estimate: Estimate
    fits: bool
    """False: of all layouts this one needs least, and it is too much."""

    def accumulation(self, recipe: Recipe) -> int:
        """Passes of each process in an optimizer step."""
        return _share(recipe) // self.layout.micro_batch


def choose(recipe: Recipe, architecture: Architecture, machine: Machine) -> Choice:
    """Try the recipe's layouts from the fastest to the most frugal.

    Computing activations again costs half a forward pass; sharding costs communication at every
    layer; a smaller pass costs least, so it is tried first.
    """
    smallest: Choice | None = None
    for layout in _layouts(recipe, machine):
        needed = estimate(recipe, architecture, machine, layout)
        fits = machine.memory is None or needed.total <= SHARE * machine.memory
        choice = Choice(layout, needed, fits)
        if fits:
            return choice
        if smallest is None or needed.total < smallest.estimate.total:
            smallest = choice
    if smallest is None:
        raise ValueError("no layout to choose from")
    return smallest


def _layouts(recipe: Recipe, machine: Machine) -> Iterator[Layout]:
    sizes = _micro_batches(recipe, machine)
    for strategy in recipe.strategies:
        for checkpointing in (False, True):
            for micro_batch in sizes:
                yield Layout(micro_batch, checkpointing, strategy, recipe.distribution.offload)


def _share(recipe: Recipe) -> int:
    """Sequences of one process in a step."""
    return max(1, recipe.training.sequences_per_batch // recipe.compute.world_size)


def _micro_batches(recipe: Recipe, machine: Machine) -> list[int]:
    """Those that divide a process's share, the largest that helps first."""
    share = _share(recipe)
    most = max(1, ENOUGH_TOKENS[machine.gpu] // recipe.training.max_length)
    return [size for size in range(min(share, most), 0, -1) if share % size == 0]
