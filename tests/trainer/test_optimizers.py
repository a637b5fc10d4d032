"""Each optimizer learns, goes on bit by bit, and takes the memory that is predicted."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoConfig

from finetune_trainer.engine.state import OPTIMIZER
from finetune_trainer.memory.families import architecture_from_config
from finetune_trainer.memory.optimizers import optimizer_bytes
from finetune_trainer.memory.trained import count
from finetune_trainer.recipe import Optimizer
from finetune_trainer.report.metrics_log import MetricsLog
from finetune_trainer.workspace import Workspace
from tests.trainer.matrix import METHOD_SETTINGS, train
from tests.trainer.recipes import workspace
from tests.trainer.tiny_models import write_model

RATES = {"LoRA": 1e-2, "Full": 1e-3}


@pytest.fixture(scope="module")
def wide_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With matrices of more than the 4096 numbers from which bitsandbytes keeps eight bits."""
    return write_model(tmp_path_factory.mktemp("wide"), hidden_size=64, intermediate_size=1100)


@pytest.mark.parametrize("method", RATES)
@pytest.mark.parametrize("optimizer", Optimizer)
def test_an_optimizer_learns_and_goes_on_bit_by_bit(
    optimizer: Optimizer, method: str, wide_model: Path, tmp_path: Path
) -> None:
    training = {"optimizer": optimizer, "learningRate": RATES[method], "maxSteps": 8}
    settings: dict[str, Any] = {"method": METHOD_SETTINGS[method], "training": training}
    made = workspace(tmp_path, wide_model, **settings)
    place = Workspace(tmp_path)
    train(made, place, attempt=1)
    losses = [point.loss for point in MetricsLog(place.metrics).read() if point.loss]
    assert losses[-1] < losses[0] - 0.1
    state = load_file(place.checkpoints / "step-00000008" / f"{OPTIMIZER}-1.safetensors")
    whole = _artifact(place)
    shutil.rmtree(place.output)
    shutil.rmtree(place.checkpoints / "step-00000008")
    train(made, place, attempt=2)
    resumed = _artifact(place)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    architecture = architecture_from_config(AutoConfig.from_pretrained(wide_model).to_dict())
    held = sum(value.nbytes for value in state.values() if value.dim())
    predicted = optimizer_bytes(optimizer, count(made, architecture).tensors)
    assert predicted == pytest.approx(held, rel=0.01)


def test_weight_decay_leaves_vectors_alone(wide_model: Path, tmp_path: Path) -> None:
    before = load_file(wide_model / "model.safetensors")
    changed = [
        _after_one_step(wide_model, tmp_path / str(decay), weightDecay=decay)
        for decay in (0.0, 0.5)
    ]
    for name, (kept, decayed) in {
        name: (changed[0][name], changed[1][name]) for name in before
    }.items():
        taken = 0.01 * 0.5 * before[name] if before[name].dim() > 1 else 0.0
        assert torch.allclose(kept - taken, decayed, atol=1e-6), name


def test_gradients_are_clipped_to_what_is_asked_for(wide_model: Path, tmp_path: Path) -> None:
    # AdamW's first step is the same at any scale; later ones weigh gradients by their sizes.
    norms = {
        norm: _after_one_step(wide_model, tmp_path / norm, maxGradientNorm=float(norm), maxSteps=3)
        for norm in ("1e8", "1e9", "0.01")
    }
    embeddings = {norm: found["model.embed_tokens.weight"] for norm, found in norms.items()}
    assert torch.equal(embeddings["1e8"], embeddings["1e9"])
    assert not torch.allclose(embeddings["1e8"], embeddings["0.01"], atol=1e-5)


def _after_one_step(model: Path, root: Path, **training: Any) -> dict[str, torch.Tensor]:
    root.mkdir()
    settings = {"maxSteps": 1, "warmupSteps": 0, "schedule": "Constant", "learningRate": 0.01}
    method = METHOD_SETTINGS["Full"]
    made = workspace(root, model, method=method, training={**settings, **training})
    train(made, Workspace(root), attempt=1)
    return _artifact(Workspace(root))


def _artifact(place: Workspace) -> dict[str, torch.Tensor]:
    (file,) = place.output.rglob("*.safetensors")
    return load_file(file)
