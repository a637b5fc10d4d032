"""How a process does its share of a step, where nobody has said so before it trains."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from finetune_trainer.base_model import open_base_model
from finetune_trainer.cgroup import Cgroup
from finetune_trainer.engine.passes import choose_passes
from finetune_trainer.engine.world import World
from finetune_trainer.recipe import Passes
from tests.trainer.processes import train
from tests.trainer.recipes import workspace

ALONE = World(0, 1, torch.device("cpu"))


def test_what_fits_is_computed_at_once(tiny_model: Path, tmp_path: Path) -> None:
    recipe = workspace(tmp_path, tiny_model)
    assert recipe.compute.passes is None
    sequences = recipe.training.sequences_per_batch
    assert sequences > 1
    chosen = choose_passes(recipe, open_base_model(tiny_model, recipe.training.max_length), ALONE)
    assert chosen == Passes(micro_batch=sequences)
    (ended,) = train(tmp_path)
    assert f"{sequences} sequence(s) of {recipe.training.max_length} tokens in a pass" in ended.log


def test_where_little_fits_the_most_frugal_is_chosen(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = workspace(tmp_path, tiny_model)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(Cgroup().memory_limit() >> 20))  # a MiB for each
    chosen = choose_passes(recipe, open_base_model(tiny_model, recipe.training.max_length), ALONE)
    assert chosen == Passes(micro_batch=1, activation_checkpointing=True)


def test_a_model_of_an_unknown_architecture_computes_one_sequence_at_a_time(
    tiny_model: Path, tmp_path: Path
) -> None:
    other = shutil.copytree(tiny_model, tmp_path / "other")
    config = json.loads((other / "config.json").read_bytes())
    (other / "config.json").write_text(json.dumps(config | {"model_type": "mamba"}))
    recipe = workspace(tmp_path, tiny_model)
    assert choose_passes(recipe, open_base_model(other, 128), ALONE) == Passes()
