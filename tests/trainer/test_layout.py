"""How a step is laid out, where nobody has said so before it trains."""

import json
import shutil
from functools import partial
from pathlib import Path

import pytest
import torch

from finetune_trainer.base_model import open_base_model
from finetune_trainer.engine import layout
from finetune_trainer.engine.layout import lay_out
from finetune_trainer.engine.world import World
from finetune_trainer.exit_codes import ExitCode
from finetune_trainer.memory.choose import SHARE
from finetune_trainer.memory.estimate import Estimate, estimate
from finetune_trainer.memory.families import architecture_from_config
from finetune_trainer.memory.layout import Layout, Machine
from finetune_trainer.recipe import Recipe, Strategy
from tests.trainer.processes import train
from tests.trainer.recipes import workspace
from tests.trainer.tiny_models import write_model

ALONE = World(0, 1, torch.device("cpu"))


def needed(recipe: Recipe, model: Path, chosen: Layout) -> Estimate:
    config = json.loads((model / "config.json").read_bytes())
    machine = Machine(gpu=False, bf16=False)
    return estimate(recipe, architecture_from_config(config), machine, chosen)


def with_memory(size: int) -> None:
    """Of the process that this is called in."""
    layout._memory = lambda _: size


def test_what_fits_is_computed_at_once(tiny_model: Path, tmp_path: Path) -> None:
    recipe = workspace(tmp_path, tiny_model)
    assert recipe.compute.passes is None
    sequences = recipe.training.sequences_per_batch
    assert sequences > 1
    chosen = lay_out(recipe, open_base_model(tiny_model, recipe.training.max_length), ALONE)
    assert chosen == Layout(micro_batch=sequences)
    (ended,) = train(tmp_path)
    assert f"{sequences} sequence(s) of {recipe.training.max_length} tokens in a pass" in ended.log


def test_where_little_fits_the_most_frugal_is_chosen(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = workspace(tmp_path, tiny_model)
    standing = needed(recipe, tiny_model, Layout()).standing
    monkeypatch.setattr(layout, "_memory", lambda _: standing)
    chosen = lay_out(recipe, open_base_model(tiny_model, recipe.training.max_length), ALONE)
    assert chosen == Layout(micro_batch=1, activation_checkpointing=True)


def test_what_cannot_fit_is_refused_before_it_is_loaded(tiny_model: Path, tmp_path: Path) -> None:
    workspace(tmp_path, tiny_model)
    (ended,) = train(tmp_path, prepare=[partial(with_memory, 1 << 20)])
    assert ended.exit_code == ExitCode.CONFIGURATION_ERROR
    assert "the memory of a process is 1 MiB: give more memory" in ended.failure.message


def test_processes_share_what_does_not_fit_into_each(tmp_path: Path) -> None:
    # What a process spares by sharing is to be more than DeepSpeed takes itself.
    width = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 6}
    model = write_model(tmp_path / "model", **width)
    recipe = workspace(
        tmp_path / "run",
        model,
        method={"type": "Full", "lora": None},
        training={"maxSteps": 1, "warmupSteps": 0, "tokensPerBatch": 256},
        compute={"nodes": 2},
        distribution={"strategy": "DataParallel", "fallbacks": ["ZeRO1", "ZeRO2"]},
    )
    whole, shared = (
        needed(recipe, model, Layout(1, activation_checkpointing=True, strategy=each)).total
        for each in (Strategy.DATA_PARALLEL, Strategy.ZERO1)
    )
    assert shared < whole
    less_than_whole = partial(with_memory, int((whole - 1) / SHARE))
    leader, _ = train(tmp_path / "run", processes=2, prepare=[less_than_whole] * 2)
    assert leader.trained.step == 1
    assert "ZeRO1, 1 sequence(s)" in leader.log


def test_a_model_of_an_unknown_architecture_computes_one_sequence_at_a_time(
    tiny_model: Path, tmp_path: Path
) -> None:
    other = shutil.copytree(tiny_model, tmp_path / "other")
    config = json.loads((other / "config.json").read_bytes())
    (other / "config.json").write_text(json.dumps(config | {"model_type": "mamba"}))
    recipe = workspace(tmp_path, tiny_model)
    assert lay_out(recipe, open_base_model(other, 128), ALONE) == Layout()
