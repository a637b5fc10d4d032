import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from finetune_operator.api.fine_tune_job import FineTuneJobSpec
from finetune_trainer.combinations import (
    CLASS_WEIGHTS,
    DEVICE,
    FORMAT,
    INITIALIZATION,
    LOSS,
    METHOD,
    OFFLOAD,
    OPTIMIZER,
    PUBLISH,
    QUANTIZATION,
    REFUSALS,
    STRATEGY,
    TASK,
    Refusal,
    refusals,
)
from finetune_trainer.errors import ConfigurationError
from finetune_trainer.recipe import (
    MethodType,
    QuantizationType,
    Recipe,
    Strategy,
    method_name,
    read_recipe,
)
from finetune_trainer.rules import ADAPTER_REFUSED_BY_ZERO3, problems, strategies
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


def test_the_same_run_on_fewer_nodes_goes_by_the_digest_of_the_whole() -> None:
    passes = {"microBatch": 4}
    whole = recipe(compute={"nodes": 4, "passes": passes})
    fewer = whole.on(2)
    assert (fewer.compute.nodes, fewer.compute.passes) == (2, None)
    assert fewer.digest() == fewer.on(1).digest() == whole.digest()
    assert fewer.training_digest() == whole.training_digest()
    assert fewer.training == whole.training


@pytest.mark.parametrize(("told", "nodes"), [(None, 4), ("4", 4), ("1", 1), ("8", 4)])
def test_the_launcher_says_on_how_many_nodes(
    told: str | None, nodes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = recipe(compute={"nodes": 4})
    (tmp_path / "recipe.json").write_text(whole.canonical_json())
    monkeypatch.delenv("PET_NNODES", raising=False)
    if told:
        monkeypatch.setenv("PET_NNODES", told)
    found = read_recipe(tmp_path / "recipe.json")
    assert found.compute.nodes == nodes
    assert found.digest() == whole.digest()


def test_what_is_measured_decides_only_where_something_follows_from_it() -> None:
    held_out = {"validationFraction": 0.1}
    plain = recipe(dataset=held_out, evaluation={"intervalSteps": 5})
    often = recipe(dataset=held_out, evaluation={"intervalSteps": 2})
    assert plain.training_digest() == often.training_digest()
    best = [
        recipe(dataset=held_out, evaluation={"intervalSteps": steps, "keepBest": True})
        for steps in (2, 5)
    ]
    digests = {each.training_digest() for each in [plain, *best]}
    assert len(digests) == 3


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
        (
            {
                "task": "QuestionAnswering",
                "dataset": {"format": "OpenAIChat", "columns": {"question": "q"}},
            },
            "dataset.columns is read with dataset.format Columns only",
        ),
        (
            {"task": "Completion", "dataset": {"columns": {"question": "q"}}},
            "dataset.columns.question is used with task QuestionAnswering only",
        ),
        (
            {
                "dataset": {
                    "train": [
                        {"storageUri": "pvc://data/a", "weight": 1},
                        {"storageUri": "pvc://data/b"},
                    ]
                }
            },
            "dataset.train has sources with weight and without",
        ),
        (
            {"task": "Completion", "dataset": {"chatTemplate": "{{ messages }}"}},
            "dataset.chatTemplate is used with tasks Chat, Instruction, QuestionAnswering and",
        ),
        (
            {"translation": {"targetLanguage": "German"}},
            "translation is used with task Translation only",
        ),
        (
            {"evaluation": {"metrics": ["F1"]}},
            "evaluation.metrics F1 cannot be measured of task Chat: choose from Loss",
        ),
        ({"training": {"warmupSteps": 12}}, "training.warmupSteps 12 leaves none of the 12"),
        (
            {"training": {"weightDecay": 0.1}, "method": {"type": "IA3", "lora": None, "ia3": {}}},
            "training.weightDecay takes nothing off what method IA3 trains",
        ),
        (
            {"dataset": {"validationFraction": 0.1}, "evaluation": {"keepBest": True}},
            "set evaluation.intervalSteps, or remove them",
        ),
        ({"evaluation": {"intervalSteps": 5}}, "evaluation.intervalSteps asks for held-out data"),
    ],
)
def test_combinations_that_cannot_work_are_refused(changes: dict[str, Any], message: str) -> None:
    (found,) = problems(recipe(**changes))
    assert message in found


def test_a_recipe_that_works_has_no_problems() -> None:
    assert problems(recipe()) == []


PREFERENCE = {"loss": "DPO", "beta": 0.1}

CHOSEN: dict[str, Callable[[str], dict[str, Any]]] = {
    METHOD: lambda value: {"method": _method(value)},
    QUANTIZATION: lambda value: {"quantization": {"type": value}},
    INITIALIZATION: lambda value: {"method": {"lora": {"initialization": value}}},
    CLASS_WEIGHTS: lambda value: {"training": {"classWeights": value}},
    TASK: lambda value: {
        "task": value,
        "preference": PREFERENCE if value == "Preference" else None,
    },
    STRATEGY: lambda value: {"distribution": {"strategy": value}},
    OFFLOAD: lambda value: {"distribution": {"offload": value}},
    DEVICE: lambda value: {"compute": {"device": value, "gpusPerNode": int(value == "GPU")}},
    OPTIMIZER: lambda value: {"training": {"optimizer": value}},
    LOSS: lambda value: {"task": "Preference", "preference": {**PREFERENCE, "loss": value}},
    FORMAT: lambda value: {"dataset": {"format": value}},
}


def _method(kind: str) -> dict[str, Any]:
    if kind == "PromptTuning":
        return {"type": kind, "lora": None, "promptTuning": {"virtualTokens": 3}}
    return {"type": kind} if kind == "LoRA" else {"type": kind, "lora": None}


@pytest.mark.parametrize(
    ("refusal", "excluded"),
    [(each, value) for each in REFUSALS for value in each.excluded],
    ids=lambda given: given if isinstance(given, str) else f"{given.field} {given.value}",
)
def test_every_refusal_says_what_is_wrong_and_what_to_do(refusal: Refusal, excluded: str) -> None:
    message = refusal.message(excluded)
    assert message.startswith(
        f"{refusal.field} {refusal.value} cannot be combined with {refusal.other} {excluded}: "
    )
    assert ": set " in message
    assert list(refusals({refusal.field: refusal.value, refusal.other: excluded})) == [message]
    if refusal.field in CHOSEN:
        one, other = CHOSEN[refusal.field](refusal.value), CHOSEN[refusal.other](excluded)
        both = one | other
        if "distribution" in one and "distribution" in other:
            both = {"distribution": one["distribution"] | other["distribution"]}
        assert message in problems(recipe(**both))
    elif refusal.field == PUBLISH:
        rules = json.dumps(FineTuneJobSpec.model_json_schema())
        assert message in rules


def test_a_start_that_doubles_the_rank_is_bounded() -> None:
    (found,) = problems(recipe(method={"lora": {"rank": 400, "initialization": "PiSSA"}}))
    assert "method.lora.rank 400 would be published as 800" in found
    assert "set rank to 256 or less" in found


def test_training_that_stops_early_keeps_the_best() -> None:
    with pytest.raises(ValidationError, match="keepBest is true where"):
        recipe(training={"earlyStopping": {"patience": 1}})


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ({"type": "DoRA"}, "method.lora is given exactly when method.type is LoRA"),
        ({"type": "Full", "lora": None, "vera": {"rank": 1, "dropout": 0}}, "method.vera is"),
        ({"type": "PromptTuning", "lora": None}, "method.promptTuning is given exactly when"),
    ],
)
def test_a_method_has_the_member_of_its_name(method: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        recipe(method=method)


@pytest.mark.parametrize(
    ("method", "quantization", "name"),
    [
        (MethodType.LORA, QuantizationType.NONE, "LoRA"),
        (MethodType.LORA, QuantizationType.NF4, "QLoRA"),
        (MethodType.DORA, QuantizationType.NF4, "QDoRA"),
        (MethodType.DORA, QuantizationType.INT8, "DoRA (Int8)"),
        (MethodType.IA3, QuantizationType.NF4, "IA3 (NF4)"),
    ],
)
def test_names_that_people_use(
    method: MethodType, quantization: QuantizationType, name: str
) -> None:
    assert method_name(method, quantization) == name


def test_what_goes_on_from_an_adapter_is_not_laid_out_in_shares() -> None:
    assert Strategy.ZERO3 in strategies(recipe())
    start = {"adapterUri": "oci://registry.example.com/adapters/tiny:v1"}
    without = (Strategy.DATA_PARALLEL, Strategy.ZERO1, Strategy.ZERO2)
    assert strategies(recipe(model=start)) == without
    asked = recipe(model=start, distribution={"strategy": "ZeRO3"})
    assert problems(asked) == [ADAPTER_REFUSED_BY_ZERO3]
