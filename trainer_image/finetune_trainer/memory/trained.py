"""Which parameters a method trains, and what else it keeps: methods/ as numbers."""

from collections.abc import Callable
from dataclasses import dataclass

from finetune_trainer.memory.architecture import Architecture, Linear
from finetune_trainer.recipe import Initialization, Method, MethodType, Recipe, Targets


@dataclass(frozen=True)
class Trained:
    """Numbers of parameters."""

    trained: int
    """All FP32."""
    frozen: int
    """FP32 as well: what the method adds and does not train, or keeps of its start."""
    cast: int
    """Of both, those that autocast holds in BF16 from the forward to the backward pass."""
    copied: int
    """Trained numbers of which a second set is kept until the end: the start of PiSSA or LoftQ."""


def targeted(architecture: Architecture, targets: Targets) -> tuple[Linear, ...]:
    """The modules of a layer that an adapter changes, by the rule of methods/adapters.py."""
    wanted = targets.target_modules
    if not wanted:
        return architecture.linears
    return tuple(
        each
        for each in architecture.linears
        if any(f".{each.name}".endswith(f".{name}") for name in wanted)
    )


def count(recipe: Recipe, architecture: Architecture) -> Trained:
    """What the recipe's method adds to the model, or trains of it."""
    return _COUNTS[recipe.method.type](recipe.method, architecture)


def _lora(method: Method, architecture: Architecture) -> Trained:
    trained = _matrices(method, architecture)
    lora = method.lora
    moved = lora is not None and lora.initialization is not Initialization.DEFAULT
    return Trained(trained, 0, cast=trained, copied=trained * moved)


def _dora(method: Method, architecture: Architecture) -> Trained:
    modules = targeted(architecture, method.targets)
    rows = architecture.layers * sum(each.outputs for each in modules)
    inputs = architecture.layers * sum(each.inputs for each in modules)
    # Frozen: the square of each row's norm. Cast: A alone, B is multiplied as it is.
    cast = method.low_rank.rank * inputs
    return Trained(_matrices(method, architecture) + rows, rows, cast=cast, copied=0)


def _matrices(method: Method, architecture: Architecture) -> int:
    modules = targeted(architecture, method.targets)
    each_layer = sum(each.inputs + each.outputs for each in modules)
    return architecture.layers * method.low_rank.rank * each_layer


def _ia3(method: Method, architecture: Architecture) -> Trained:
    modules = targeted(architecture, method.targets)
    each_layer = sum(
        each.inputs if scales_inputs(each, architecture) else each.outputs for each in modules
    )
    return Trained(architecture.layers * each_layer, 0, cast=0, copied=0)


def scales_inputs(module: Linear, architecture: Architecture) -> bool:
    """Whether IA3 scales what goes into a module: methods/ia3.py finds those by their width."""
    return module.inputs == architecture.intermediate


def _vera(method: Method, architecture: Architecture) -> Trained:
    rank = method.vera.rank if method.vera else 0
    modules = targeted(architecture, method.targets)
    vectors = architecture.layers * sum(rank + each.outputs for each in modules)
    widest = max((each.inputs for each in modules), default=0)
    shared = rank * (widest + max((each.outputs for each in modules), default=0))
    # Each module has a slice of the shared matrices, and autocast a copy of each slice.
    slices = architecture.layers * rank * sum(each.inputs + each.outputs for each in modules)
    return Trained(vectors, shared, cast=slices, copied=0)


def _prompt_tuning(method: Method, architecture: Architecture) -> Trained:
    virtual = method.prompt_tuning.virtual_tokens if method.prompt_tuning else 0
    return Trained(virtual * architecture.hidden, 0, cast=0, copied=0)


def _full(method: Method, architecture: Architecture) -> Trained:
    cast = architecture.layers * architecture.layer_weights
    head = architecture.vocabulary * architecture.hidden if architecture.generates else 0
    return Trained(architecture.parameters, 0, cast=cast + head, copied=0)


_COUNTS: dict[MethodType, Callable[[Method, Architecture], Trained]] = {
    MethodType.LORA: _lora,
    MethodType.DORA: _dora,
    MethodType.IA3: _ia3,
    MethodType.VERA: _vera,
    MethodType.PROMPT_TUNING: _prompt_tuning,
    MethodType.FULL: _full,
}
