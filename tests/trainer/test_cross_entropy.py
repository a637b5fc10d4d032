"""The loss that is taken in parts against the one of all logits."""

import math
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import AutoConfig, AutoModelForCausalLM

from finetune_trainer import heads
from finetune_trainer.base_model import BaseModel
from finetune_trainer.engine.attention import register_attention
from finetune_trainer.engine.loading import load_model
from finetune_trainer.engine.loss import summed_loss, token_losses
from finetune_trainer.engine.rows import Row, make_row
from finetune_trainer.methods import METHODS
from finetune_trainer.recipe import MethodType
from tests.trainer.recipes import recipe

VOCABULARY, HIDDEN, SUPERVISED = 600, 48, 20


@pytest.fixture(autouse=True)
def _several_parts() -> Iterator[None]:
    """Of which the last is not full."""
    with mock.patch("finetune_trainer.engine.cross_entropy.POSITIONS_AT_ONCE", 7):
        yield


@pytest.mark.parametrize("trained", ["all", "all but the head"])
@pytest.mark.parametrize("model_type", sorted(heads.PLAIN))
def test_gradients_are_those_of_all_logits(model_type: str, trained: str) -> None:
    model = model_of(model_type)
    model.get_output_embeddings().requires_grad_(trained == "all")
    for loss in (summed_loss, token_losses):
        # As weights of a loss that is not a mere sum.
        weights = (
            torch.linspace(0.5, 1.5, SUPERVISED) if loss is token_losses else torch.tensor(0.5)
        )
        found = gradients(model, (loss(model, row()) * weights).sum())
        with mock.patch("finetune_trainer.engine.loss.is_plain", lambda *_, **__: False):
            expected = gradients(model, (loss(model, row()) * weights).sum())
        assert found.keys() == expected.keys()
        for name, gradient in expected.items():
            assert torch.dist(found[name], gradient) <= 1e-5 * gradient.norm(), (loss, name)


def gradients(model: torch.nn.Module, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    model.zero_grad()
    torch.autograd.backward(loss)
    made = {name: each.grad for name, each in model.named_parameters() if each.grad is not None}
    return {"loss": loss.detach(), **made}


def test_a_loss_in_bfloat16_is_not_rounded_to_it() -> None:
    model = model_of("llama").to(torch.bfloat16)
    found = summed_loss(model, row())
    with mock.patch("finetune_trainer.engine.loss.is_plain", lambda *_, **__: False):
        expected = summed_loss(model, row())
    assert found.dtype is torch.float32
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("loss", [summed_loss, token_losses])
def test_not_all_logits_are_there_at_a_time(loss: Any) -> None:
    model = model_of("llama")
    model.get_output_embeddings().requires_grad_(False)
    with Logits() as logits:
        torch.autograd.backward(loss(model, row()).sum())
    assert logits.positions == 7


def test_a_model_that_is_loaded_and_adapted_has_its_loss_in_parts(tiny_model: Path) -> None:
    base = BaseModel(tiny_model, AutoConfig.from_pretrained(tiny_model))
    loaded = load_model(base, torch.float32, torch.device("cpu"))
    model = METHODS[MethodType.LORA].apply(loaded, recipe())
    with Logits(loaded.config.vocab_size, loaded.config.hidden_size) as logits:
        torch.autograd.backward(summed_loss(model, row()))
    assert logits.positions == 7


def test_what_comes_after_the_head_is_not_passed_over() -> None:
    """Logits that are capped close to zero say the same of all words; those of the head do not."""
    blind = pytest.approx(SUPERVISED * math.log(VOCABULARY), rel=1e-5)
    assert summed_loss(model_of("gemma3_text", final_logit_softcapping=1e-4), row()).item() == blind
    assert summed_loss(model_of("gemma3_text"), row()).item() != blind


class Logits(TorchDispatchMode):
    """Of how many positions there are logits at a time."""

    def __init__(self, vocabulary: int = VOCABULARY, hidden: int = HIDDEN) -> None:
        super().__init__()
        self.vocabulary, self.hidden, self.positions = vocabulary, hidden, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        if isinstance(made, torch.Tensor) and made.shape[-1:] == (self.vocabulary,):
            positions = made.numel() // self.vocabulary
            # The weight of the head turned round is none.
            self.positions = max(self.positions, positions if positions != self.hidden else 0)
        return made


def row() -> Row:
    document: Any = SimpleNamespace(ids=np.arange(32) % 500, supervised=np.arange(32) >= 12)
    return make_row([document])


def model_of(model_type: str, **changes: Any) -> Any:
    torch.manual_seed(1)
    config = AutoConfig.for_model(
        model_type,
        **{
            "vocab_size": VOCABULARY,
            "hidden_size": HIDDEN,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 16,
            "pad_token_id": 0,
            "tie_word_embeddings": False,
            **changes,
        },
    )
    factory: Any = AutoModelForCausalLM
    return factory.from_config(config, attn_implementation=register_attention()).train()
