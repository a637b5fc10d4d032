"""Recipes and data that tests vary."""

import json
from collections.abc import Iterable
from copy import deepcopy
from pathlib import Path
from typing import Any

from finetune_trainer.recipe import Recipe

_RECIPE: dict[str, Any] = {
    "job": {"namespace": "tests", "name": "tiny", "generation": 1},
    "model": {"storageUri": "oci://registry.example.com/tiny:v1"},
    "task": "Chat",
    "dataset": {"train": [{"storageUri": "pvc://data/train.jsonl"}], "format": "Auto"},
    "method": {
        "type": "LoRA",
        "lora": {"rank": 4, "alpha": 8, "dropout": 0.0, "targetModulesPreset": "AllLinear"},
    },
    "training": {
        "epochs": 1,
        "maxSteps": 12,
        "learningRate": 0.01,
        "schedule": "Cosine",
        "warmupSteps": 2,
        "maxLength": 128,
        "packing": True,
        "tokensPerBatch": 512,
        "precision": "FP32",
        "seed": 42,
    },
    "compute": {"device": "CPU", "nodes": 1, "gpusPerNode": 0},
    "checkpoint": {"intervalSteps": 4, "intervalSeconds": 3600, "keep": 2},
    "evaluation": {"maxNewTokens": 4, "generatedExamples": 4, "shownExamples": 2},
}

CONVERSATIONS = [
    {
        "messages": [
            {"role": "user", "content": f"What comes after {number}?"},
            {"role": "assistant", "content": f"{number + 1}" * (1 + number % 3)},
        ]
    }
    for number in range(24)
]

PAIRS = [
    {
        "prompt": f"What comes after {number}?",
        "chosen": f"{number + 1}",
        "rejected": "I wonder" + "!" * (number % 3),
    }
    for number in range(24)
]


def recipe(**changes: Any) -> Recipe:
    """A recipe that works, with members replaced: `training={"maxSteps": 3}`."""
    return Recipe.model_validate(_merged(deepcopy(_RECIPE), changes))


def workspace(
    root: Path, model: Path, lines: Iterable[object] = CONVERSATIONS, /, **changes: Any
) -> Recipe:
    """Lay out a workspace as fetch leaves it; returns the recipe, also in root/recipe.json."""
    inputs = root / "inputs"
    (inputs / "train-0").mkdir(parents=True)
    (inputs / "model").symlink_to(model)
    write_lines(inputs / "train-0" / "train.jsonl", lines)
    made = recipe(**changes)
    write_recipe(root, made)
    return made


def write_lines(path: Path, lines: Iterable[object]) -> Path:
    """JSON lines."""
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def write_recipe(root: Path, made: Recipe) -> None:
    (root / "recipe.json").write_text(made.canonical_json())


def _merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(base.get(key), dict)
        base[key] = _merged(base[key], value) if both else value
    return base
