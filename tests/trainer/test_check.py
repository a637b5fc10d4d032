"""What could not be trained is refused in seconds, with what to change."""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finetune_trainer import check
from finetune_trainer.errors import ConfigurationError, DataError, TrainerError
from finetune_trainer.manifest import Checked
from tests.trainer import tiny_models
from tests.trainer.recipes import CONVERSATIONS, workspace, write_lines

FORBIDDEN = ("torch", "peft", "deepspeed", "bitsandbytes", "accelerate")
LIKE_MAIN = f"""
import runpy, sys
try:
    runpy.run_module("finetune_trainer", run_name="__main__")
finally:
    print(*(name for name in {FORBIDDEN} if sys.modules.get(name)))
"""
LONG = [
    {
        "messages": [
            {"role": "user", "content": "why? " * 100},
            {"role": "assistant", "content": "because"},
        ]
    }
]


def run(root: Path) -> Checked:
    return check.run(argparse.Namespace(recipe=root / "recipe.json", workspace=root))


def refuse(root: Path) -> TrainerError:
    with pytest.raises(TrainerError) as raised:
        run(root)
    assert not (root / "prepared.json").exists()
    return raised.value


def test_prepared_json_tells_what_will_be_trained(tiny_model: Path, tmp_path: Path) -> None:
    workspace(tmp_path, tiny_model, dataset={"validationFraction": 0.25})
    checked = run(tmp_path)
    assert Checked.model_validate_json((tmp_path / "prepared.json").read_bytes()) == checked
    assert (checked.train_examples, checked.validation_examples) == (18, 6)
    assert checked.total_steps == 12
    assert 0 < checked.supervised_tokens < checked.train_tokens
    assert checked.lengths.truncated == 0


def test_it_loads_no_torch(tiny_model: Path, tmp_path: Path) -> None:
    workspace(tmp_path, tiny_model, method={"lora": {"targetModules": ["q_proj"]}})
    command = [sys.executable, "-c", LIKE_MAIN, "check"]
    command += ["--recipe", str(tmp_path / "recipe.json"), "--workspace", str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stderr
    said, loaded = ended.stdout.splitlines()
    assert json.loads(said) == json.loads((tmp_path / "prepared.json").read_text())
    assert loaded == ""
    assert "PyTorch" not in ended.stderr


def two_sources(root: Path, model: Path, second: list[Any]) -> None:
    workspace(
        root,
        model,
        dataset={
            "train": [
                {"storageUri": "pvc://data/train.jsonl", "weight": 1},
                {"storageUri": "pvc://data/more.jsonl", "weight": 3},
            ],
            "validation": [{"storageUri": f"file://{root}/inputs/train-0"}],
        },
        training={"packing": False, "tokensPerBatch": 128, "maxSteps": None},
    )
    (root / "inputs" / "train-1").mkdir()
    write_lines(root / "inputs" / "train-1" / "more.jsonl", second)


def test_an_epoch_of_sources_with_weights_has_as_many_examples(
    tiny_model: Path, tmp_path: Path
) -> None:
    two_sources(tmp_path, tiny_model, CONVERSATIONS[:2])
    checked = run(tmp_path)
    assert (checked.train_examples, checked.steps_per_epoch) == (26, 26)


def test_a_source_with_weight_of_which_nothing_is_left_is_refused(
    tiny_model: Path, tmp_path: Path
) -> None:
    two_sources(tmp_path, tiny_model, LONG)
    assert "dataset.train[1] (pvc://data/more.jsonl) has a weight" in str(refuse(tmp_path))


def test_held_out_examples_that_are_learned_are_counted(tiny_model: Path, tmp_path: Path) -> None:
    two_sources(tmp_path, tiny_model, CONVERSATIONS[:2])
    leaks = run(tmp_path).leaks
    assert (leaks.exact, leaks.near) == (24, 0)
    assert "train.jsonl line 1 = train.jsonl line 1" in leaks.message


@pytest.mark.parametrize(
    ("lines", "changes", "error", "message"),
    [
        (LONG, {}, DataError, "every label of dataset.train is masked: within training.maxLength"),
        ([{"text": "a"}], {}, DataError, "task Chat cannot be learned from dataset.format Text"),
        (
            [{"messages": CONVERSATIONS[0]["messages"][:1]}],
            {},
            DataError,
            "train.jsonl line 1: no message of role assistant",
        ),
        (
            CONVERSATIONS,
            {"method": {"lora": {"targetModules": ["q_proj", "query"]}}},
            ConfigurationError,
            "targetModules: query matches no linear module of the model, which has down_proj, ",
        ),
        (
            CONVERSATIONS,
            {"dataset": {"chatTemplate": "{% for message in %}"}},
            ConfigurationError,
            "the chat template cannot be read, line 1: ",
        ),
        (
            CONVERSATIONS,
            {"training": {"maxLength": 512}},
            ConfigurationError,
            "training.maxLength 512 is more than the 256 positions",
        ),
        (
            CONVERSATIONS,
            {"training": {"maxSteps": None, "warmupSteps": 50}},
            ConfigurationError,
            "training.warmupSteps 50 leaves none of the",
        ),
        (
            CONVERSATIONS,
            {"training": {"tokensPerBatch": 100}},
            ConfigurationError,
            "set tokensPerBatch to a multiple of 128",
        ),
    ],
    ids=["masked", "format", "no answer", "modules", "template", "length", "warm-up", "batch"],
)
def test_data_and_numbers(
    tiny_model: Path,
    tmp_path: Path,
    *,
    lines: list[Any],
    changes: dict[str, Any],
    error: type[TrainerError],
    message: str,
) -> None:
    workspace(tmp_path, tiny_model, lines, **changes)
    refused = refuse(tmp_path)
    assert isinstance(refused, error)
    assert message in str(refused)


def pickled(model: Path) -> None:
    (model / "model.safetensors").rename(model / "pytorch_model.bin")


def torn(model: Path) -> None:
    weights = model / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])


def unknown(model: Path) -> None:
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"model_type": "unheard_of"}))


def no_config(model: Path) -> None:
    (model / "config.json").unlink()


def no_template(model: Path) -> None:
    (model / "chat_template.jinja").unlink()


def no_tokenizer(model: Path) -> None:
    (model / "tokenizer.json").unlink()
    (model / "tokenizer_config.json").unlink()


def large_tokenizer(model: Path) -> None:
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"vocab_size": 100}))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (pickled, "holds only pickled weights (pytorch_model.bin)"),
        (torn, "model.safetensors is broken"),
        (unknown, "architecture 'unheard_of' is unknown"),
        (no_config, "config.json is missing"),
        (no_template, "no chat template, which task Chat needs"),
        (no_tokenizer, "tokenizer cannot be read"),
        (large_tokenizer, "they do not belong together"),
    ],
)
def test_models(tmp_path: Path, spoil: Callable[[Path], None], message: str) -> None:
    model = tiny_models.write_model(tmp_path / "model")
    spoil(model)
    workspace(tmp_path, model)
    refused = refuse(tmp_path)
    assert isinstance(refused, ConfigurationError)
    assert message in str(refused)


def test_what_was_not_fetched_is_named(tmp_path: Path, tiny_model: Path) -> None:
    workspace(tmp_path, tiny_model)
    (tmp_path / "inputs" / "train-0" / "train.jsonl").unlink()
    (tmp_path / "inputs" / "train-0").rmdir()
    assert "pvc://data/train.jsonl was not fetched" in str(refuse(tmp_path))
