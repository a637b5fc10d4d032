"""What memory/ computes against real models: their parameters, what is trained, what is kept."""

import weakref
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM

from finetune_trainer.engine import footprint
from finetune_trainer.engine.attention import register_attention
from finetune_trainer.engine.loss import summed_loss
from finetune_trainer.engine.norms import fuse_norms
from finetune_trainer.engine.rows import Row, make_row
from finetune_trainer.memory import activations
from finetune_trainer.memory.catalogue import Known, catalogue
from finetune_trainer.memory.estimate import estimate
from finetune_trainer.memory.families import architecture_from_config
from finetune_trainer.memory.layout import Machine
from finetune_trainer.memory.trained import count
from finetune_trainer.methods import METHODS
from finetune_trainer.objectives.causal import CausalObjective
from finetune_trainer.recipe import MethodType, Recipe
from finetune_trainer.workspace import Workspace
from tests.trainer.matrix import train
from tests.trainer.recipes import recipe, workspace

MODELS = [
    "microsoft/Phi-3-mini-4k-instruct",
    "microsoft/Phi-4-mini-instruct",
    "meta-llama/Llama-3.2-1B",
    "meta-llama/Llama-3.1-8B",
    "mistralai/Mistral-Nemo-Base-2407",
    "Qwen/Qwen2.5-7B",
    "Qwen/Qwen3-0.6B",
    "google/gemma-7b",
    "google/gemma-2-2b",
    "google/gemma-3-1b-it",
    "HuggingFaceTB/SmolLM2-135M",
    "google-bert/bert-base-uncased",
    "distilbert/distilbert-base-uncased",
    "FacebookAI/xlm-roberta-base",
]

SHAPE = {
    "vocab_size": 500,
    "hidden_size": 96,
    "intermediate_size": 200,
    "num_hidden_layers": 2,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 4096,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "tie_word_embeddings": True,
}

MEMBERS: dict[str, dict[str, Any]] = {
    "LoRA": {"lora": {"rank": 4, "alpha": 8, "dropout": 0.0}},
    "DoRA": {"dora": {"rank": 4, "alpha": 8, "dropout": 0.0}},
    "IA3": {"ia3": {}},
    "VeRA": {"vera": {"rank": 4, "dropout": 0.0}},
    "PromptTuning": {"promptTuning": {"virtualTokens": 4}},
    "Full": {},
}

TOKENS, SUPERVISED = 512, 100


@pytest.mark.parametrize("name", MODELS)
def test_parameters_are_those_of_the_class(name: str) -> None:
    (known,) = (each for each in catalogue() if name in each.repositories)
    config = _config(known)
    factory: Any = AutoModelForCausalLM if known.architecture.generates else AutoModel
    with torch.device("meta"):
        model = factory.from_config(config)
    assert known.architecture.parameters == sum(each.numel() for each in model.parameters())


def _config(known: Known) -> Any:
    """The catalogue's architecture is all that is compared, so its numbers are given back."""
    of = known.architecture
    names = {
        "vocab_size": of.vocabulary,
        "hidden_size": of.hidden,
        "dim": of.hidden,
        "intermediate_size": of.intermediate,
        "hidden_dim": of.intermediate,
        "num_hidden_layers": of.layers,
        "n_layers": of.layers,
        "num_attention_heads": of.heads,
        "n_heads": of.heads,
        "num_key_value_heads": of.key_value_heads,
        "head_dim": of.head_size,
        "max_position_embeddings": of.positions,
        "type_vocab_size": 1 if of.model_type == "xlm-roberta" else 2,
        "pad_token_id": 0,
        "tie_word_embeddings": of.tied,
    }
    blank = AutoConfig.for_model(of.model_type)
    return AutoConfig.for_model(
        of.model_type, **{name: value for name, value in names.items() if hasattr(blank, name)}
    )


@pytest.mark.parametrize("method", MEMBERS)
@pytest.mark.parametrize("model_type", ["llama", "phi3"])
def test_trained_parameters_are_those_of_the_method(model_type: str, method: str) -> None:
    its_recipe = _recipe(method)
    model = _model(model_type, its_recipe, torch.float32)
    trained = sum(each.numel() for each in model.parameters() if each.requires_grad)
    assert count(its_recipe, architecture_from_config(_shape(model_type))).trained == trained


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["FP32", "BF16"])
@pytest.mark.parametrize("method", MEMBERS)
@pytest.mark.parametrize("model_type", ["llama", "phi3", "qwen2", "qwen3", "gemma2"])
def test_activations_are_what_autograd_saves(
    model_type: str, method: str, dtype: torch.dtype
) -> None:
    its_recipe, bf16 = _recipe(method), dtype is torch.bfloat16
    architecture = architecture_from_config(_shape(model_type))
    expected = activations.kept(its_recipe, architecture, bf16=bf16)
    virtual = 4 if method == "PromptTuning" else 0
    predicted = (
        (TOKENS + virtual) * (architecture.layers * expected.layer + expected.around)
        + SUPERVISED * expected.target
        + expected.head
        + 2 * bf16 * count(its_recipe, architecture).cast
    )
    saved = _saved(_model(model_type, its_recipe, dtype), dtype)
    assert predicted == pytest.approx(saved, rel=0.01)


@pytest.mark.parametrize("method", MEMBERS)
@pytest.mark.parametrize("model_type", ["llama", "phi3", "gemma2"])
def test_what_stays_from_step_to_step_is_as_estimated(model_type: str, method: str) -> None:
    its_recipe = _recipe(method)
    model = _model(model_type, its_recipe, torch.float32)
    trained = [each for each in model.parameters() if each.requires_grad]
    optimizer = torch.optim.AdamW(trained)
    document: Any = SimpleNamespace(
        ids=np.arange(TOKENS) % 500, supervised=np.ones(TOKENS, dtype=bool)
    )
    torch.autograd.backward(summed_loss(model, make_row([document])))
    optimizer.step()
    found = footprint.held(model, optimizer)
    architecture = architecture_from_config(_shape(model_type))
    expected = estimate(its_recipe, architecture, Machine(gpu=True, bf16=False))
    assert found.weights == pytest.approx(expected.weights + expected.adapter, rel=0.01)
    assert found.gradients == sum(each.grad.nbytes for each in trained if each.grad is not None)
    assert found.gradients == pytest.approx(expected.gradients, rel=0.01)
    assert found.optimizer == pytest.approx(expected.optimizer, rel=0.01)


def test_the_graph_of_a_row_ends_before_the_next_row_is_computed(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What custom functions keep beside autograd, as bitsandbytes' in eight bits does, ends only
    with the graph."""
    graphs: list[weakref.ref[object]] = []
    left: list[int] = []

    def summed(self: CausalObjective, model: torch.nn.Module, row: Row) -> torch.Tensor:
        left.append(sum(each() is not None for each in graphs))
        loss, part_of_graph = summed_loss(model, row), Kept()
        assert loss.grad_fn is not None
        loss.grad_fn.register_hook(lambda *_, held=part_of_graph: None)
        graphs.append(weakref.ref(part_of_graph))
        return loss

    monkeypatch.setattr(CausalObjective, "summed_loss", summed)
    made = workspace(
        tmp_path,
        tiny_model,
        training={"maxSteps": 2, "maxLength": 64, "tokensPerBatch": 256},
        compute={"passes": {"microBatch": 1}},
    )
    train(made, Workspace(tmp_path), attempt=1)
    assert len(left) > 2
    assert set(left) == {0}


class Kept:
    """Something that a node of a graph holds."""


def _saved(model: torch.nn.Module, dtype: torch.dtype) -> int:
    """Bytes that the graph of a loss holds, beyond the model itself."""
    of_model = [*model.parameters(), *model.buffers()]
    known = {each.untyped_storage().data_ptr() for each in of_model}
    held: dict[int, torch.UntypedStorage] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            held[storage.data_ptr()] = storage
        return tensor

    document: Any = SimpleNamespace(
        ids=np.arange(TOKENS) % 500, supervised=np.arange(TOKENS) >= TOKENS - SUPERVISED
    )
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype is torch.bfloat16):
            loss = summed_loss(model, make_row([document]))
        assert loss.requires_grad
        return sum(storage.nbytes() for storage in held.values())


def _recipe(method: str) -> Recipe:
    values = recipe().model_dump(mode="json", exclude={"method"})
    return Recipe.model_validate(values | {"method": {"type": method, **MEMBERS[method]}})


def _shape(model_type: str) -> dict[str, Any]:
    return {"model_type": model_type, **SHAPE}


def _model(model_type: str, its_recipe: Recipe, dtype: torch.dtype) -> torch.nn.Module:
    config = AutoConfig.for_model(**_shape(model_type))
    config._attn_implementation = register_attention()
    full = its_recipe.method.type is MethodType.FULL
    factory: Any = AutoModelForCausalLM
    model = factory.from_config(config, dtype=torch.float32 if full else dtype)
    applied = METHODS[its_recipe.method.type].apply(model.requires_grad_(False), its_recipe)
    fuse_norms(applied)
    return applied.train()
