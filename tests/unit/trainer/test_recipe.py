import json
from pathlib import Path
from typing import Any

import pytest

from finetune_trainer.errors import ConfigurationError
from finetune_trainer.recipe import Recipe, read_recipe
from finetune_trainer.rules import problems
from tests.trainer.recipes import recipe


def test_json_is_read_as_it_was_written(tmp_path: Path) -> None:
    made = recipe()
    (tmp_path / "recipe.json").write_text(made.canonical_json())
    assert read_recipe(tmp_path / "recipe.json") == made


def test_strings_of_the_api_are_numbers_here() -> None:
    value = json.loads(recipe().canonical_json())
    value["training"]["learningRate"] = "2e-4"
    assert Recipe.model_validate(value).training.learning_rate == 2e-4


def test_digests_cover_what_they_say() -> None:
    made = recipe()
    moved = recipe(compute={"nodes": 2}, checkpoint={"keep": 5}, job={"name": "other"})
    other = recipe(training={"seed": 43})
    assert made.digest() != moved.digest()
    assert made.training_digest() == moved.training_digest()
    assert made.training_digest() != other.training_digest()


def test_a_bad_recipe_names_each_field(tmp_path: Path) -> None:
    value = json.loads(recipe().canonical_json())
    value["training"]["epochs"] = 0
    value["surprise"] = 1
    (tmp_path / "recipe.json").write_text(json.dumps(value))
    with pytest.raises(ConfigurationError) as raised:
        read_recipe(tmp_path / "recipe.json")
    assert "training.epochs" in str(raised.value)
    assert "surprise" in str(raised.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": "Completion", "dataset": {"format": "Alpaca"}}, "task Completion cannot be"),
        ({"training": {"tokensPerBatch": 64}}, "set tokensPerBatch to a multiple of 128"),
        ({"training": {"tokensPerBatch": 384}, "compute": {"nodes": 2}}, "a multiple of 256"),
        ({"training": {"warmupSteps": 12}}, "training.warmupSteps 12 leaves none of the 12"),
    ],
)
def test_combinations_that_cannot_work_are_refused(changes: dict[str, Any], message: str) -> None:
    (found,) = problems(recipe(**changes))
    assert message in found


def test_a_recipe_that_works_has_no_problems() -> None:
    assert problems(recipe()) == []
