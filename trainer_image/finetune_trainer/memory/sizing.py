"""Does a job fit into the memory it is given, and how is it laid out there?"""

from finetune_trainer.memory.architecture import Architecture
from finetune_trainer.memory.choose import Choice, choose
from finetune_trainer.memory.estimate import Estimate, estimate
from finetune_trainer.memory.layout import Layout, Machine
from finetune_trainer.recipe import Recipe

_GIB = 1 << 30


def laid_out(recipe: Recipe, architecture: Architecture, machine: Machine) -> tuple[Recipe, Choice]:
    """The recipe with the fastest layout that fits, nothing of it left open, and what it takes."""
    choice = choose(recipe, architecture, machine)
    layout = choice.layout
    compute = recipe.compute.model_copy(update={"passes": layout.passes})
    chosen = {"strategy": layout.strategy, "fallbacks": ()}
    distribution = recipe.distribution.model_copy(update=chosen)
    return recipe.model_copy(update={"compute": compute, "distribution": distribution}), choice


def impossible(
    recipe: Recipe, architecture: Architecture, machine: Machine, limit: str
) -> str | None:
    """Why this model cannot be trained so, if it cannot whatever the data are.

    Args:
        limit: where the machine's memory is set, as the user writes it.
    """
    offload = recipe.distribution.offload
    layouts = [Layout(strategy=each, offload=offload) for each in recipe.strategies]
    every = [estimate(recipe, architecture, machine, layout) for layout in layouts]
    needed = min(every, key=lambda each: each.standing)
    if machine.memory is None or needed.standing <= machine.memory:
        return None
    return (
        f"{recipe.model.storage_uri} needs at least {gib(needed.standing)} on each device before"
        f" any data ({_standing_parts(needed)}), and {limit} is {gib(machine.memory)}:"
        f" {_remedies(recipe)}"
    )


def gib(size: int) -> str:
    """For people; small amounts in MiB."""
    return f"{size / _GIB:.1f} GiB" if size >= _GIB else f"{size / (1 << 20):.0f} MiB"


def _standing_parts(needed: Estimate) -> str:
    names = ("weights", "adapter", "gradients", "optimizer", "framework")
    return ", ".join(f"{name} {gib(needed.parts()[name])}" for name in names)


def _remedies(recipe: Recipe) -> str:
    ways = ["give more memory"]
    if recipe.method.type.value == "Full":
        ways.append("set method.type LoRA")
    elif recipe.quantization.type.value == "None":
        ways.append("set quantization.type NF4")
    return ", ".join([*ways, "or choose a smaller model"])
