"""Bytes that autograd keeps from the forward to the backward pass, tensor by tensor.

For the modules of transformers 5.23 and peft 0.21 as this trainer calls them: attention without a
matrix of scores, no dropout in the base, documents end to end in one row. Each line is a tensor
that a node of the graph saves; tests/trainer/test_memory.py counts them by torch's
saved_tensors_hooks, and the sums are equal. Frozen linear modules keep nothing; an adapter keeps
its input, once for all modules that share it, but under autocast a BF16 copy for each module,
because only leaves are cast once; not so on a processor (methods/frozen_product.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from finetune_trainer.memory.architecture import Architecture, Linear, Role
from finetune_trainer.memory.trained import scales_inputs, targeted
from finetune_trainer.recipe import Device, MethodType, QuantizationType, Recipe

_FP32 = 4
"""Bytes of a number."""
_OF_RMS = 4
"""Bytes of 1 / RMS of a token."""


@dataclass(frozen=True)
class Kept:
    """What one pass keeps."""

    layer: int
    """Bytes of a token in a layer."""
    around: int
    """Bytes of a token before the first and after the last layer."""
    target: int
    """Bytes of a supervised token: the gradient of what goes into the head, where the loss is taken
    in parts; else its log-probabilities, and what is needed to get there."""
    head: int
    """Bytes of the head, however many tokens there are: the gradient of its weight."""
    boundary: int
    """Bytes of a token between two layers: all that activation checkpointing keeps."""


def kept(recipe: Recipe, architecture: Architecture, *, bf16: bool) -> Kept:
    """
    Args:
        bf16: whether the arithmetic is in bfloat16.
    """
    full = recipe.method.type is MethodType.FULL
    size = 2 if bf16 else 4
    # Full keeps FP32 weights, and a sum of both is FP32.
    boundary = architecture.hidden * (4 if full else size)
    hidden = architecture.hidden
    norm = 4 * hidden + _OF_RMS
    layer = (
        _norms(architecture, size, full=full)
        + _attention(architecture, size)
        + _feed_forward(architecture, size)
        + _method(recipe, architecture, size)
    )
    final = norm + 4 * hidden * full
    # Nothing before the first adapter needs a gradient; a prompt does.
    needless = 0 if full or recipe.method.type is MethodType.PROMPT_TUNING else norm
    rotary = 2 * architecture.head_size * (4 if full else size)
    target, head = _of_the_loss(architecture, size, full=full)
    return Kept(layer, final - needless + rotary + 8 * full, target, head, boundary)


def _of_the_loss(architecture: Architecture, size: int, *, full: bool) -> tuple[int, int]:
    """Bytes of a supervised token, and of the head."""
    hidden, vocabulary = architecture.hidden, architecture.vocabulary
    if architecture.plain_head:
        return size * hidden, 4 * vocabulary * hidden * full
    capped = size * vocabulary * architecture.soft_capped
    return 4 * vocabulary + 16 + size * hidden * full + capped, 0


def _norms(architecture: Architecture, size: int, *, full: bool) -> int:
    """Each keeps its input in FP32, and the normalized input where its weight is trained."""
    norms, hidden = architecture.norms, architecture.hidden
    count = norms.count * (4 * hidden * (2 if full else 1) + _OF_RMS)
    if norms.heads:
        width = architecture.queries + architecture.keys
        heads = architecture.heads + architecture.key_value_heads
        count += (4 + size * full) * width + _OF_RMS * heads
    return count


def _attention(architecture: Architecture, size: int) -> int:
    """Rotated queries and keys, values, what comes out, and the logarithm of each sum."""
    values = architecture.keys
    if any(each.role is Role.QUERY_KEY_VALUE for each in architecture.linears):
        # The values are a view of what the fused module gave, and keep all of it.
        values = architecture.queries + 2 * architecture.keys
    kept_numbers = 2 * architecture.queries + architecture.keys + values
    return size * kept_numbers + 4 * architecture.heads


def _feed_forward(architecture: Architecture, size: int) -> int:
    """With a gate: gate, its activation, and up; without: what goes into the activation."""
    gated = any(each.role in (Role.GATE, Role.GATE_UP) for each in architecture.linears)
    return size * architecture.intermediate * (3 if gated else 1)


def _method(recipe: Recipe, architecture: Architecture, size: int) -> int:
    """What the method's own nodes keep, in a layer."""
    method = recipe.method
    match method.type:
        case MethodType.FULL:
            return _inputs(architecture.linears, size, shared=size == _FP32)
        case MethodType.PROMPT_TUNING:
            count = 0
        case MethodType.IA3:
            modules = targeted(architecture, method.targets)
            count = sum(
                4 * each.inputs if scales_inputs(each, architecture) else size * each.outputs
                for each in modules
            )
        case MethodType.VERA:
            modules = targeted(architecture, method.targets)
            rank = method.vera.rank if method.vera else 0
            count = size * sum(rank + each.outputs for each in modules)
        case MethodType.LORA | MethodType.DORA:
            modules = targeted(architecture, method.targets)
            shared = size == _FP32 or _is_in_one_node(recipe)
            count = _inputs(modules, size, shared=shared)
            count += size * method.low_rank.rank * len(modules)
            if method.type is MethodType.DORA:
                count += size * sum(_turned(each, architecture, size) for each in modules)
            if method.low_rank.dropout:
                count += (4 + 1) * sum(each.inputs for each in modules)
    if recipe.quantization.type is QuantizationType.INT8:
        count += _eight_bits(recipe, architecture, size)
    return count


def _eight_bits(recipe: Recipe, architecture: Architecture, size: int) -> int:
    """bitsandbytes' product keeps its input, which an adapter keeps already where there is one;
    and on a GPU every column of it in which a number is beyond 6: how many is the model's, so
    all."""
    adapted: tuple[Linear, ...] = ()
    if recipe.method.type in (MethodType.LORA, MethodType.DORA):
        adapted = targeted(architecture, recipe.method.targets)
    others = [each for each in architecture.linears if each not in adapted]
    count = _inputs(others, size, shared=size == _FP32)
    if recipe.compute.device is Device.GPU:
        count += _inputs(architecture.linears, size, shared=size == _FP32)
    return count


def _is_in_one_node(recipe: Recipe) -> bool:
    """Whether one node makes the frozen layer's product and the update of it, also in BF16."""
    low_rank, device = recipe.method.low_rank, recipe.compute.device
    whole = recipe.quantization.type is QuantizationType.NONE
    return whole and device is Device.CPU and not low_rank.dropout


def _inputs(modules: Sequence[Linear], size: int, *, shared: bool) -> int:
    """The inputs of modules that keep them.

    Args:
        shared: whether those that have the same input keep it once.
    """
    if not shared:
        return size * sum(each.inputs for each in modules)
    sources = {_source(each.role): each.inputs for each in modules}
    return size * sum(sources.values())


def _source(role: Role) -> Role:
    """The module that stands for all that have the same input."""
    if role in (Role.KEY, Role.VALUE):
        return Role.QUERY
    return Role.UP if role is Role.GATE else role


def _turned(module: Linear, architecture: Architecture, size: int) -> int:
    """Numbers of DoRA's output that nothing else keeps."""
    norms = architecture.norms
    match module.role:
        case Role.QUERY | Role.KEY:
            return 0 if norms.heads and size == 4 else module.outputs
        case Role.VALUE:
            return module.outputs if module.bias else 0
        case Role.ATTENTION_OUTPUT | Role.DOWN:
            return 0 if norms.after_blocks and size == 4 else module.outputs
        case _:
            return 0
