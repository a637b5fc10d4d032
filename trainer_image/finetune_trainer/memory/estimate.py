"""Bytes per device by part, and floating-point operations per step.

Sources. Parts: Rajbhandari et al., "ZeRO: Memory Optimizations Toward Training Trillion Parameter
Models", 2020, section 3; their shares: sharing.py. NF4 with double quantization: Dettmers et al.,
"QLoRA", 2023, section 3, with the block sizes of bitsandbytes 0.50. Operations: Kaplan et al.,
"Scaling Laws for Neural Language Models", 2020, table 1, where frozen weights need no gradient of
their own.
"""

import math
from dataclasses import dataclass, fields

from finetune_trainer.heads import POSITIONS_AT_ONCE
from finetune_trainer.memory import activations
from finetune_trainer.memory.architecture import Architecture
from finetune_trainer.memory.layout import Allocator, Layout, Machine
from finetune_trainer.memory.optimizers import optimizer_bytes
from finetune_trainer.memory.sharing import Held, shared
from finetune_trainer.memory.trained import count
from finetune_trainer.recipe import MethodType, Precision, QuantizationType, Recipe

NF4_BYTES = 0.5 + 1 / 64 + 4 / (64 * 256)
"""Of a weight: four bits, an eight-bit scale for 64 weights, an FP32 one for 256 scales."""

LOSS_COPIES = 3
"""FP32 numbers of a logit at the peak of its backward pass: log-probabilities, their gradient and
the gradient of the logits. Source: torch 2.13, log_softmax and nll_loss."""

FRAMEWORK = {True: 690 << 20, False: 600 << 20}
"""Bytes that are there without a model, by whether on a GPU. CPU, measured by bench/memory: 540 MiB
of RssAnon after the trainer's imports, and some 60 MiB that the first step adds. GPU, measured
so too on an H100 with CUDA 13: the context and the libraries that it loads."""

DEEPSPEED = 100 << 20
"""Bytes more of a processor's memory where it shares out a training: 50 MiB for its modules, as
much for its engine. Measured by bench/strategies; of a GPU's nothing was seen."""

KEPT = {
    Allocator.TORCH: (600 << 20, 0.05),
    Allocator.JEMALLOC: (40 << 20, 0.08),
    Allocator.GLIBC: (0, 1.5),
}
"""What an allocator holds beside what is in use: bytes, and a share of what comes and goes in a
step. Torch's of a GPU: measured on an H100, 240 to 830 MiB of 5 GiB, 1580 MiB of 18 GiB. jemalloc:
measured by bench/memory, 40 to 165 MiB. glibc: the most that was measured; the least was 0.7,
because it depends on the order of sizes, and it grows with their number."""


@dataclass(frozen=True)
class Load:
    """What one forward and backward pass has to do."""

    tokens: int
    supervised: int
    """Tokens whose loss is computed."""
    longest: int
    """Tokens of the longest document."""
    documents: int = 1


@dataclass(frozen=True)
class Estimate:
    """Bytes at the moment of most use: after the forward pass of a step that has gradients."""

    weights: int
    adapter: int
    gradients: int
    optimizer: int
    activations: int
    logits: int
    working: int
    framework: int
    allocator: int

    @property
    def total(self) -> int:
        return sum(self.parts().values())

    @property
    def standing(self) -> int:
        """What is there whatever the data: no choice of lengths or batches makes it less."""
        held = self.weights + self.adapter + self.gradients + self.optimizer
        return held + self.framework

    def parts(self) -> dict[str, int]:
        return {each.name: getattr(self, each.name) for each in fields(self)}


def worst_load(recipe: Recipe, layout: Layout) -> Load:
    """Full rows of which every token is supervised."""
    tokens = layout.micro_batch * recipe.training.max_length
    return Load(tokens, tokens, recipe.training.max_length, layout.micro_batch)


def in_bf16(recipe: Recipe, machine: Machine) -> bool:
    """Whether the arithmetic will be in bfloat16: engine/precision.py decides the same."""
    wanted = recipe.training.precision
    return wanted is Precision.BF16 or (wanted is Precision.AUTO and machine.bf16)


def estimate(
    recipe: Recipe,
    architecture: Architecture,
    machine: Machine,
    layout: Layout | None = None,
    load: Load | None = None,
) -> Estimate:
    """Bytes on each device.

    Args:
        layout: one sequence a pass, nothing sharded, where not given.
        load: the worst that the recipe allows, where not given.
    """
    layout = layout or Layout()
    load = load or worst_load(recipe, layout)
    bf16 = in_bf16(recipe, machine)
    of_method = count(recipe, architecture)
    full = recipe.method.type is MethodType.FULL

    weights = 4 * architecture.parameters if full else _frozen(recipe, architecture, bf16=bf16)
    trained = 4 * of_method.trained
    adapter = 0 if full else trained + 4 * of_method.frozen
    if not machine.gpu:
        adapter += 4 * of_method.copied
    alone = Held(
        weights, adapter, trained, optimizer_bytes(recipe.training.optimizer, of_method.tensors)
    )
    held = shared(
        alone,
        layout,
        architecture,
        full=full,
        world=recipe.compute.world_size,
        gpu=machine.gpu,
    )

    kept = activations.kept(recipe, architecture, bf16=bf16)
    tokens = load.tokens + _virtual(recipe) * load.documents
    layer = tokens * kept.layer
    # Checkpointing keeps the boundaries, and has one layer whole at a time.
    layers = architecture.layers
    whole = layer + layers * tokens * kept.boundary
    keeping = min(whole, layers * layer) if layout.activation_checkpointing else layers * layer
    cast = 2 * of_method.cast if bf16 else 0
    logits, loss_buffers = 0, 0
    if architecture.generates:
        logits = load.supervised * kept.target + kept.head
        loss_buffers = _loss_buffers(architecture, load.supervised, bf16=bf16, full=full)
    activating = keeping + tokens * kept.around + cast
    # What is kept of the loss is gone when the layers begin.
    flowing = _backward(recipe, architecture, tokens, bf16=bf16) + held.gathering - logits
    working = max(loss_buffers, flowing, held.updating - activating - logits)
    passing = activating + logits + working
    deepspeed = DEEPSPEED if layout.strategy.stage and not machine.gpu else 0
    return Estimate(
        weights=held.weights,
        adapter=held.adapter,
        gradients=held.gradients,
        optimizer=held.optimizer,
        activations=activating,
        logits=logits,
        working=working,
        framework=FRAMEWORK[machine.gpu] + deepspeed,
        allocator=_kept(passing, machine.allocator),
    )


def _kept(passing: int, allocator: Allocator) -> int:
    """What the allocator holds beside what is in use, of what comes and goes in a step."""
    always, share = KEPT[allocator]
    return always + math.ceil(share * passing)


def _frozen(recipe: Recipe, architecture: Architecture, *, bf16: bool) -> int:
    """The base model, with its linear modules quantized where that is asked for."""
    size = 2 if bf16 else 4
    linear = architecture.layers * architecture.layer_weights
    others = (architecture.parameters - linear) * size
    match recipe.quantization.type:
        case QuantizationType.NF4:
            return others + math.ceil(linear * NF4_BYTES)
        case QuantizationType.INT8:
            scales = 4 * architecture.layers * sum(each.outputs for each in architecture.linears)
            return others + linear + scales
        case QuantizationType.NONE:
            return others + linear * size


def _virtual(recipe: Recipe) -> int:
    """Tokens before each document."""
    prompt = recipe.method.prompt_tuning
    return prompt.virtual_tokens if prompt else 0


def _loss_buffers(architecture: Architecture, supervised: int, *, bf16: bool, full: bool) -> int:
    """What comes and goes in the loss, where most of it is there."""
    vocabulary = architecture.vocabulary
    if not architecture.plain_head:
        return (LOSS_COPIES - 1) * 4 * supervised * vocabulary
    # Logits in FP32, and in BF16 what they come from and what their gradient becomes; and in it the
    # head's weight and what is added to its gradient, where these are held in FP32.
    at_once = min(supervised, POSITIONS_AT_ONCE) * vocabulary * (6 if bf16 else 4)
    return at_once + 4 * vocabulary * architecture.hidden * (bf16 and full)


def _backward(recipe: Recipe, architecture: Architecture, tokens: int, *, bf16: bool) -> int:
    """Gradients on their way through the widest block, and a weight that is unpacked for it."""
    size = 2 if bf16 else 4
    flowing = tokens * size * (4 * architecture.intermediate + 2 * architecture.hidden)
    largest = max(each.weights for each in architecture.linears)
    if recipe.quantization.type is QuantizationType.NONE:
        return flowing
    return flowing + 2 * size * largest


def step_flops(recipe: Recipe, architecture: Architecture, layout: Layout) -> float:
    """Floating-point operations of one optimizer step over all processes.

    Two for each weight and token forwards, two for the gradient of the input and, where the weight
    is trained, two for its own; two more where activations are computed again.
    """
    tokens = recipe.training.tokens_per_batch
    full = recipe.method.type is MethodType.FULL
    passes = 4 + 2 * full + 2 * layout.activation_checkpointing
    linear = architecture.layers * architecture.layer_weights
    head = architecture.vocabulary * architecture.hidden if architecture.generates else 0
    # Scores and their use: each token sees half of its sequence where it cannot look ahead.
    seen = recipe.training.max_length / (2 if architecture.generates else 1)
    attention = 2 * architecture.layers * architecture.queries * seen
    attention_passes = 6 + 2 * layout.activation_checkpointing
    adapter = 0 if full else count(recipe, architecture).trained
    each = passes * (linear + head) + attention_passes * attention + 6 * adapter
    return float(tokens * each)


def step_seconds(
    recipe: Recipe, architecture: Architecture, machine: Machine, layout: Layout
) -> float | None:
    """None where the machine's throughput is not stated."""
    if machine.flops_per_second is None:
        return None
    every = machine.flops_per_second * recipe.compute.world_size
    return step_flops(recipe, architecture, layout) / every
