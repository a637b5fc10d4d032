"""Documents in one row are blind to each other: losses and gradients are those of each alone."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM

from finetune_trainer.data.examples import TokensExample
from finetune_trainer.engine.attention import register_attention
from finetune_trainer.engine.loss import summed_loss
from finetune_trainer.engine.rows import make_row
from tests.trainer.tiny_models import write_model

SETTINGS: dict[str, dict[str, Any]] = {
    "llama": {},
    "phi3": {"sliding_window": 12},
    "qwen2": {"use_sliding_window": True, "sliding_window": 12, "max_window_layers": 1},
}


def documents() -> list[TokensExample]:
    random = np.random.default_rng(3)
    sizes = (40, 1, 17, 2, 60)
    return [
        TokensExample(random.integers(0, 250, size), random.random(size) < 0.6) for size in sizes
    ]


def gradients(model: torch.nn.Module, rows: list[list[TokensExample]]) -> dict[str, torch.Tensor]:
    model.zero_grad()
    for row in rows:
        torch.autograd.backward(summed_loss(model, make_row(row)))
    return {
        name: value.grad.clone()
        for name, value in model.named_parameters()
        if value.grad is not None
    }


def distance(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    """Largest relative L2 distance of a tensor."""
    assert one.keys() == other.keys()
    return max(float((one[name] - other[name]).norm() / other[name].norm()) for name in one)


@pytest.mark.parametrize("architecture", list(SETTINGS))
def test_packed_gradients_are_those_of_each_alone(tmp_path: Path, architecture: str) -> None:
    settings = SETTINGS[architecture]
    path = write_model(tmp_path, architecture, **settings)
    packed = AutoModelForCausalLM.from_pretrained(path, attn_implementation=register_attention())
    ours = gradients(packed, [documents()])
    assert distance(ours, gradients(packed, [[document] for document in documents()])) <= 1e-5

    # And those of transformers' own attention, which knows nothing of packing.
    plain = AutoModelForCausalLM.from_pretrained(path, attn_implementation="eager")
    plain.zero_grad()
    for document in documents():
        ids = torch.from_numpy(document.ids)[None]
        labels = torch.where(torch.from_numpy(document.supervised), ids, -100)
        if document.targets:
            logits = plain(input_ids=ids).logits[0, :-1].float()
            torch.autograd.backward(cross_entropy(logits, labels[0, 1:], reduction="sum"))
    theirs = {
        name: value.grad for name, value in plain.named_parameters() if value.grad is not None
    }
    assert distance(ours, theirs) <= 1e-5


def test_row_of_nothing_gives_gradients_of_zero(tiny_model: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(
        tiny_model, attn_implementation=register_attention()
    )
    found = gradients(model, [[]])
    assert found
    assert all(not value.any() for value in found.values())
