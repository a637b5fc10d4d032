"""Norms as one node of the graph each give what the model's own give."""

from pathlib import Path
from typing import Any

import pytest
import torch

from finetune_trainer.base_model import open_base_model
from finetune_trainer.engine.loading import load_model
from finetune_trainer.engine.norms import fuse_norms
from finetune_trainer.methods import METHODS
from tests.trainer.recipes import recipe
from tests.trainer.test_packing_gradients import distance, documents, gradients
from tests.trainer.tiny_models import ARCHITECTURES, write_model

LAYERS = 2
FULL: dict[str, Any] = {"method": {"type": "Full", "lora": None}}


def load(path: Path, **changes: Any) -> torch.nn.Module:
    base, made = open_base_model(path, 128), recipe(**changes)
    loaded = load_model(base, torch.float32, torch.device("cpu"))
    return METHODS[made.method.type].apply(loaded, made)


def norms(model: torch.nn.Module) -> list[str]:
    """Kinds of module that are norms, one for each."""
    kinds = [type(module).__name__ for module in model.modules()]
    return [kind for kind in kinds if kind.endswith("RMSNorm")]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_gradients_are_those_of_transformers(tmp_path: Path, architecture: str) -> None:
    model = load(write_model(tmp_path, architecture))
    torch.manual_seed(5)
    with torch.no_grad():
        for name, value in model.named_parameters():
            # An adapter that starts at zero hands no gradient on; a norm at one hides its weight.
            if value.requires_grad or "norm" in name:
                value.add_(torch.randn_like(value), alpha=0.2)
    before, names = gradients(model, [documents()]), dict(model.named_parameters()).keys()
    fuse_norms(model)
    per_layer = 4 if architecture == "qwen3" else 2
    assert norms(model) == ["_RMSNorm"] * (LAYERS * per_layer + 1)
    assert dict(model.named_parameters()).keys() == names
    assert distance(gradients(model, [documents()]), before) <= 1e-5


def test_norms_that_are_trained_stay_the_model_s_own(tiny_model: Path) -> None:
    model = load(tiny_model, **FULL)
    fuse_norms(model)
    assert set(norms(model)) == {"LlamaRMSNorm"}
