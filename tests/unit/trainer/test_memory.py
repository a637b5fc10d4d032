"""What holds of every estimate, whatever the numbers."""

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from finetune_trainer.memory.catalogue import Known, architecture_of, catalogue
from finetune_trainer.memory.choose import SHARE, choose
from finetune_trainer.memory.estimate import Load, estimate, step_flops, step_seconds
from finetune_trainer.memory.families import UnknownArchitectureError, architecture_from_config
from finetune_trainer.memory.layout import Allocator, Layout, Machine
from finetune_trainer.recipe import Distribution, Recipe, Strategy
from tests.trainer.recipes import recipe

GIB = 1 << 30
GPU = Machine(gpu=True, bf16=True, memory=80 * GIB)
MEMBERS: dict[str, dict[str, Any]] = {
    "LoRA": {"lora": {"rank": 16, "alpha": 32, "dropout": 0.0}},
    "DoRA": {"dora": {"rank": 16, "alpha": 32, "dropout": 0.0}},
    "IA3": {"ia3": {}},
    "VeRA": {"vera": {"rank": 64, "dropout": 0.0}},
    "PromptTuning": {"promptTuning": {"virtualTokens": 8}},
    "Full": {},
}


@st.composite
def configs(draw: st.DrawFn) -> dict[str, Any]:
    """A decoder of a known family."""
    heads = draw(st.sampled_from([4, 8, 12, 32]))
    return {
        "model_type": draw(st.sampled_from(["llama", "phi3", "qwen2", "qwen3", "gemma2"])),
        "vocab_size": draw(st.integers(1_000, 200_000)),
        "hidden_size": 64 * heads,
        "intermediate_size": draw(st.integers(500, 20_000)),
        "num_hidden_layers": draw(st.integers(4, 64)),
        "num_attention_heads": heads,
        "num_key_value_heads": draw(st.sampled_from([1, 2, 4])),
        "head_dim": draw(st.sampled_from([64, 128])),
        "tie_word_embeddings": draw(st.booleans()),
    }


@st.composite
def recipes(draw: st.DrawFn, world: int = 1) -> Recipe:
    method = draw(st.sampled_from(sorted(MEMBERS)))
    quantization = draw(st.sampled_from(["None", "NF4", "Int8"]))
    assume(method != "Full" or quantization == "None")
    return _recipe(
        method,
        quantization,
        precision=draw(st.sampled_from(["FP32", "BF16"])),
        world=world,
        length=draw(st.sampled_from([256, 1024, 4096])),
    )


def _any_strategy(its_recipe: Recipe) -> Recipe:
    first, *rest = Strategy
    distribution = Distribution(strategy=first, fallbacks=tuple(rest))
    return its_recipe.model_copy(update={"distribution": distribution})


def _recipe(
    method: str,
    quantization: str = "None",
    *,
    precision: str = "BF16",
    world: int = 1,
    length: int = 1024,
    sequences: int = 16,
) -> Recipe:
    values = recipe().model_dump(mode="json", exclude={"method"})
    values |= {
        "method": {"type": method, **MEMBERS[method]},
        "quantization": {"type": quantization},
        "compute": {"device": "GPU", "nodes": 1, "gpusPerNode": world},
    }
    values["training"] |= {
        "maxLength": length,
        "tokensPerBatch": length * sequences,
        "precision": precision,
    }
    return Recipe.model_validate(values)


@pytest.mark.parametrize("known", catalogue(), ids=lambda known: known.repositories[0])
def test_parameters_are_those_that_were_published(known: Known) -> None:
    assert known.architecture.parameters == known.parameters


def test_a_model_is_known_by_its_name_only() -> None:
    assert architecture_of("hf://microsoft/Phi-3-mini-4k-instruct") is not None
    assert architecture_of("hf://Microsoft/phi-3-MINI-4k-instruct") is not None
    assert architecture_of("hf://someone/Phi-3-mini-4k-instruct") is None


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model_type": "mamba"}, "'mamba' cannot be computed: known are bert"),
        ({"model_type": "llama", "hidden_size": 64}, "this llama model lacks a usable number"),
        ({}, "model_type None"),
    ],
)
def test_what_cannot_be_computed_is_told(config: dict[str, Any], message: str) -> None:
    with pytest.raises(UnknownArchitectureError, match=message):
        architecture_from_config(config)


@given(configs(), recipes(), st.integers(1, 4096), st.integers(1, 4096))
def test_more_tokens_take_no_less(
    config: dict[str, Any], its_recipe: Recipe, one: int, other: int
) -> None:
    architecture = architecture_from_config(config)
    fewer, more = sorted([one, other])
    before = estimate(its_recipe, architecture, GPU, load=Load(fewer, fewer, fewer))
    after = estimate(its_recipe, architecture, GPU, load=Load(more, more, more))
    assert all(after.parts()[name] >= size for name, size in before.parts().items())
    assert after.total - before.total >= (more - fewer) * 4 * architecture.hidden


@given(configs(), recipes(), st.sampled_from(["num_hidden_layers", "intermediate_size"]))
def test_more_parameters_take_more(config: dict[str, Any], its_recipe: Recipe, which: str) -> None:
    smaller = architecture_from_config(config)
    larger = architecture_from_config(config | {which: 2 * config[which]})
    assert larger.parameters > smaller.parameters
    before, after = (estimate(its_recipe, each, GPU) for each in (smaller, larger))
    assert after.weights > before.weights
    assert after.total > before.total
    layout = Layout()
    assert step_flops(its_recipe, larger, layout) > step_flops(its_recipe, smaller, layout)


@given(configs(), recipes(world=4))
def test_each_stage_shards_more(config: dict[str, Any], its_recipe: Recipe) -> None:
    architecture = architecture_from_config(config)
    stages = [estimate(its_recipe, architecture, GPU, Layout(strategy=each)) for each in Strategy]
    for held in ("weights", "gradients", "optimizer"):
        sizes = [each.parts()[held] for each in stages]
        assert sizes == sorted(sizes, reverse=True)
    assert stages[1].optimizer < stages[0].optimizer
    assert stages[2].gradients < stages[1].gradients
    assert stages[3].weights < stages[2].weights


@given(configs(), recipes())
def test_frugal_layouts_need_less_and_work_more(config: dict[str, Any], its_recipe: Recipe) -> None:
    architecture = architecture_from_config(config)
    plain, frugal = Layout(), Layout(activation_checkpointing=True)
    kept, again = (estimate(its_recipe, architecture, GPU, each) for each in (plain, frugal))
    assert again.activations < kept.activations
    assert step_flops(its_recipe, architecture, frugal) > step_flops(
        its_recipe, architecture, plain
    )


@given(configs())
def test_fewer_bits_need_less(config: dict[str, Any]) -> None:
    architecture = architecture_from_config(config)
    weights = [
        estimate(_recipe("LoRA", quantization), architecture, GPU).weights
        for quantization in ("NF4", "Int8", "None")
    ]
    assert weights == sorted(weights)
    assert weights[0] < weights[1] < weights[2]


@given(configs(), recipes(world=2), st.integers(2, 200))
def test_what_is_chosen_fits_or_nothing_does(
    config: dict[str, Any], its_recipe: Recipe, gib: int
) -> None:
    architecture = architecture_from_config(config)
    machine = Machine(gpu=True, bf16=True, memory=gib * GIB)
    its_recipe = _any_strategy(its_recipe)
    choice = choose(its_recipe, architecture, machine)
    needed = estimate(its_recipe, architecture, machine, choice.layout)
    assert needed == choice.estimate
    assert choice.fits == (needed.total <= SHARE * gib * GIB)
    assert choice.accumulation(its_recipe) * choice.layout.micro_batch * 2 == 16
    if not choice.fits:
        more = choose(its_recipe, architecture, GPU)
        assert choice.estimate.total <= more.estimate.total


@given(configs(), recipes(), st.integers(2, 100), st.integers(2, 100))
def test_more_memory_is_never_slower(
    config: dict[str, Any], its_recipe: Recipe, one: int, other: int
) -> None:
    architecture = architecture_from_config(config)
    choices = [
        choose(its_recipe, architecture, Machine(gpu=True, bf16=True, memory=gib * GIB))
        for gib in sorted([one, other])
    ]
    assume(choices[0].fits)
    tight, roomy = (step_flops(its_recipe, architecture, each.layout) for each in choices)
    assert roomy <= tight
    assert choices[1].fits


def test_known_sizes() -> None:
    """QLoRA's paper, figure 6: LLaMA 7B takes 5 GiB of weights in four bits; LoRA's in BF16 15."""
    architecture = architecture_of("hf://meta-llama/Llama-3.1-8B")
    assert architecture is not None
    four_bits = estimate(_recipe("LoRA", "NF4"), architecture, GPU)
    assert four_bits.weights / GIB == pytest.approx(5.3, abs=0.1)
    assert estimate(_recipe("LoRA"), architecture, GPU).weights / GIB == pytest.approx(15, abs=0.1)
    full = estimate(_recipe("Full"), architecture, GPU)
    assert (full.weights, full.gradients, full.optimizer) == (
        4 * architecture.parameters,
        4 * architecture.parameters,
        8 * architecture.parameters,
    )


def test_time_is_work_by_throughput() -> None:
    architecture = architecture_of("hf://meta-llama/Llama-3.1-8B")
    assert architecture is not None
    layout, its_recipe = Layout(), _recipe("LoRA", world=2)
    assert step_seconds(its_recipe, architecture, GPU, layout) is None
    stated = Machine(gpu=True, bf16=True, flops_per_second=4e14)
    seconds = step_seconds(its_recipe, architecture, stated, layout)
    flops = step_flops(its_recipe, architecture, layout)
    assert seconds == pytest.approx(flops / 8e14)
    # Four operations for each weight but the embeddings', and some for attention and adapter.
    outside = architecture.vocabulary * architecture.hidden
    least = 4 * 16 * 1024 * (architecture.parameters - outside)
    assert least < flops < 1.1 * least


def test_a_processor_s_memory_is_jemalloc_s_where_it_is_installed() -> None:
    assert Machine(gpu=False, bf16=False).allocator is Allocator.JEMALLOC
    assert Machine(gpu=False, bf16=False, jemalloc=False).allocator is Allocator.GLIBC
    assert GPU.allocator is Allocator.TORCH


@given(recipes())
def test_glibc_keeps_more_than_jemalloc(made: Recipe) -> None:
    architecture = architecture_of("hf://meta-llama/Llama-3.1-8B")
    assert architecture
    with_jemalloc, without = (
        estimate(made, architecture, Machine(gpu=False, bf16=False, jemalloc=has), Layout())
        for has in (True, False)
    )
    assert without.allocator > 3 * with_jemalloc.allocator
    assert with_jemalloc.total - with_jemalloc.allocator == without.total - without.allocator
