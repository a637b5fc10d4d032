"""What of a recipe does not fit its model; rules.py knows the recipe alone. Needs no torch."""

from collections.abc import Collection, Iterator

from finetune_trainer.base_model import BaseModel
from finetune_trainer.recipe import MethodType, Recipe

_MEMBERS = {
    MethodType.LORA: "lora",
    MethodType.DORA: "dora",
    MethodType.IA3: "ia3",
    MethodType.VERA: "vera",
}
"""Of the methods that have target modules."""


def problems(base: BaseModel, recipe: Recipe) -> list[str]:
    """Every reason, in the user's spelling; empty if there is none."""
    return [*_targets(base, recipe), *_prompt(base, recipe)]


def _targets(base: BaseModel, recipe: Recipe) -> list[str]:
    if recipe.method.type not in _MEMBERS or not recipe.method.targets.target_modules:
        return []
    return unknown_targets(recipe, base.linear_modules())


def unknown_targets(recipe: Recipe, modules: Collection[str]) -> list[str]:
    """What is said of each target module that is none of the model's.

    Args:
        recipe: its method has target modules.
        modules: names of the model's linear modules.
    """
    known = sorted({name.rpartition(".")[2] for name in modules})
    return [
        f"method.{_MEMBERS[recipe.method.type]}.targetModules: {target} matches no linear "
        f"module of the model, which has {', '.join(known)}"
        for target in recipe.method.targets.target_modules
        if not any(is_target(name, [target]) for name in modules)
    ]


def is_target(name: str, wanted: Collection[str]) -> bool:
    """Whether a module is one of those wanted, each the whole name or its last parts."""
    return any(f".{name}".endswith(f".{target}") for target in wanted)


def _prompt(base: BaseModel, recipe: Recipe) -> Iterator[str]:
    if recipe.method.prompt_tuning is None or base.positions is None:
        return
    virtual, length = recipe.method.prompt_tuning.virtual_tokens, recipe.training.max_length
    if virtual + length > base.positions:
        yield (
            f"training.maxLength {length} and method.promptTuning.virtualTokens {virtual} are "
            f"together more than the {base.positions} positions of the model: set maxLength to "
            f"{base.positions - virtual} or less"
        )
