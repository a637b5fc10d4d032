"""Which parameters a method trains, and what else it keeps: methods/ as numbers."""

from collections.abc import Callable
from dataclasses import dataclass

from finetune_trainer.memory.architecture import Architecture, Linear
from finetune_trainer.recipe import Initialization, Method, MethodType, Recipe, Targets


@dataclass(frozen=True)
class Tensors:
    """Trained tensors of one shape."""

    number: int
    rows: int
    columns: int = 0
    """0 of a vector."""
    embedding: bool = False

    @property
    def size(self) -> int:
        """Numbers in each."""
        return self.rows * (self.columns or 1)


@dataclass(frozen=True)
class Trained:
    """Numbers of parameters."""

    tensors: tuple[Tensors, ...]
    """Those that are trained, all FP32."""
    frozen: int
    """FP32 as well: what the method adds and does not train, or keeps of its start."""
    cast: int
    """Of both, those that autocast holds in BF16 from the forward to the backward pass."""
    copied: int
    """Trained numbers of which a second set is kept until the end: the start of PiSSA or LoftQ."""

    @property
    def trained(self) -> int:
        return sum(each.number * each.size for each in self.tensors)


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
    matrices = _matrices(method, architecture)
    trained = Trained(matrices, 0, 0, 0).trained
    lora = method.lora
    moved = lora is not None and lora.initialization is not Initialization.DEFAULT
    return Trained(matrices, 0, cast=trained, copied=trained * moved)


def _dora(method: Method, architecture: Architecture) -> Trained:
    modules = targeted(architecture, method.targets)
    magnitudes = tuple(Tensors(architecture.layers, each.outputs) for each in modules)
    rows = architecture.layers * sum(each.outputs for each in modules)
    inputs = architecture.layers * sum(each.inputs for each in modules)
    # Frozen: the square of each row's norm. Cast: A alone, B is multiplied as it is.
    cast = method.low_rank.rank * inputs
    return Trained((*_matrices(method, architecture), *magnitudes), rows, cast=cast, copied=0)


def _matrices(method: Method, architecture: Architecture) -> tuple[Tensors, ...]:
    rank, layers = method.low_rank.rank, architecture.layers
    modules = targeted(architecture, method.targets)
    return tuple(
        tensors
        for each in modules
        for tensors in (Tensors(layers, rank, each.inputs), Tensors(layers, each.outputs, rank))
    )


def _ia3(method: Method, architecture: Architecture) -> Trained:
    modules = targeted(architecture, method.targets)
    # PEFT has them as matrices: a column of what scales outputs, a row of what scales inputs.
    factors = tuple(
        Tensors(architecture.layers, 1, each.inputs)
        if scales_inputs(each, architecture)
        else Tensors(architecture.layers, each.outputs, 1)
        for each in modules
    )
    return Trained(factors, 0, cast=0, copied=0)


def scales_inputs(module: Linear, architecture: Architecture) -> bool:
    """Whether IA3 scales what goes into a module: methods/ia3.py finds those by their width."""
    return module.inputs == architecture.intermediate


def _vera(method: Method, architecture: Architecture) -> Trained:
    rank = method.vera.rank if method.vera else 0
    modules = targeted(architecture, method.targets)
    vectors = tuple(
        Tensors(architecture.layers, size) for each in modules for size in (rank, each.outputs)
    )
    widest = max((each.inputs for each in modules), default=0)
    shared = rank * (widest + max((each.outputs for each in modules), default=0))
    # Each module has a slice of the shared matrices, and autocast a copy of each slice.
    slices = architecture.layers * rank * sum(each.inputs + each.outputs for each in modules)
    return Trained(vectors, shared, cast=slices, copied=0)


def _prompt_tuning(method: Method, architecture: Architecture) -> Trained:
    virtual = method.prompt_tuning.virtual_tokens if method.prompt_tuning else 0
    prompt = Tensors(1, virtual, architecture.hidden, embedding=True)
    return Trained((prompt,), 0, cast=0, copied=0)


def _full(method: Method, architecture: Architecture) -> Trained:
    cast = architecture.layers * architecture.layer_weights
    # The head's is needed no more once its loss is taken in parts.
    keeps_head = architecture.generates and not architecture.plain_head
    head = architecture.vocabulary * architecture.hidden if keeps_head else 0
    embeddings = Tensors(1, architecture.vocabulary, architecture.hidden, embedding=True)
    matrices = [embeddings]
    if architecture.head:
        matrices.append(Tensors(1, architecture.vocabulary, architecture.hidden))
    for each in architecture.linears:
        matrices.append(Tensors(architecture.layers, each.outputs, each.inputs))
    left = architecture.parameters - sum(each.number * each.size for each in matrices)
    # Norms and biases: how long each vector is makes no difference to anything.
    return Trained((*matrices, Tensors(left, 1)), 0, cast=cast + head, copied=0)


_COUNTS: dict[MethodType, Callable[[Method, Architecture], Trained]] = {
    MethodType.LORA: _lora,
    MethodType.DORA: _dora,
    MethodType.IA3: _ia3,
    MethodType.VERA: _vera,
    MethodType.PROMPT_TUNING: _prompt_tuning,
    MethodType.FULL: _full,
}
