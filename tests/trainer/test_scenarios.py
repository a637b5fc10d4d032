"""Each row of the founding table once, small: its data, its job and its metric go through."""

import asyncio
from itertools import islice
from pathlib import Path

import pytest
from bench.measured_with import ROOT
from bench.scenarios import outcome
from bench.scenarios.__main__ import data
from bench.scenarios.job import Inputs
from bench.scenarios.measure import Prepared, measure
from bench.scenarios.table import SCENARIOS, Run, Scenario

from finetune_trainer.recipe import Recipe
from finetune_trainer.workspace import Workspace
from tests.trainer.matrix import train
from tests.trainer.tiny_models import write_encoder, write_model

HELD_OUT = 4


def small(scenario: Scenario, folder: Path, learned: int | None = None) -> Prepared:
    """A few lines of the example's data, and a model of a few kilobytes.

    Args:
        learned: lines to learn from; all of them, and so every label, where not given.
    """
    whole = data(scenario, folder / "whole")
    (folder / "data").mkdir()
    for name, count in (("train.jsonl", learned), ("validation.jsonl", HELD_OUT)):
        with (whole / name).open(encoding="utf-8") as lines:
            (folder / "data" / name).write_text("".join(islice(lines, count)))
    write = write_encoder if scenario.model == "dev.models.minilm" else write_model
    inputs = Inputs(write(folder / "model", max_position_embeddings=512), folder / "data")
    run = Run(scenario.name, "LoRA")
    example = ROOT / "examples" / scenario.example
    kept = folder / "base-scores"
    return Prepared(scenario, run, example, inputs, folder / "run", base_scores=kept)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda each: each.name)
def test_a_row_goes_through(scenario: Scenario, tmp_path: Path) -> None:
    prepared = small(scenario, tmp_path)
    place = Workspace(tmp_path / "workspace")
    place.root.mkdir()
    train(_short(prepared.recipe), place, attempt=1)
    found = outcome.quality(scenario, prepared.inputs, place)
    assert found["held_out"] >= HELD_OUT
    assert set(found["gains"]) == {"base", *scenario.baselines}
    assert scenario.metric in found["metrics"]
    assert outcome.trained_parameters(place) > 0


def _short(recipe: Recipe) -> Recipe:
    # A token of the small tokenizers is fewer letters: what fits the real ones is to fit these.
    room = {"max_length": 160, "tokens_per_batch": 320}
    room = {name: max(least, getattr(recipe.training, name)) for name, least in room.items()}
    training = recipe.training.model_copy(update={"max_steps": 2, "warmup_steps": 0, **room})
    return recipe.model_copy(update={"training": training})


def test_a_run_is_measured_in_processes_of_its_own(tmp_path: Path) -> None:
    chat = next(each for each in SCENARIOS if each.name == "chat")
    prepared = small(chat, tmp_path, learned=12)
    result = asyncio.run(measure(prepared, threads=1))
    assert result.gains["base"].value > 0
    assert result.steps > 1
    assert 0 < result.step_seconds < result.seconds
    assert len(result.peak_bytes) == 1
    assert result.peak_bytes[0] > 2**27
    assert result.digest == prepared.digest
