"""A FineTuneJob and a device make one recipe, with every default filled in."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from finetune_operator.api.fine_tune_job import FineTuneJob, FineTuneJobSpec
from finetune_operator.api.schema import structural_schema
from finetune_operator.domain.recipe_builder import build_recipe
from finetune_trainer.recipe import (
    METHOD_OF_MEMBER,
    Device,
    MethodType,
    Metric,
    Preference,
    PreferenceLoss,
    Recipe,
)
from finetune_trainer.rules import problems
from tests.unit.api.schema_strategy import values

LEAST = {
    "model": {"storageUri": "hf://owner/name"},
    "task": "Chat",
    "dataset": {"train": [{"storageUri": "pvc://data/train.jsonl"}]},
    "output": {"storageUri": "oci://registry.example.com/support:v1"},
}


def recipe(device: Device = Device.CPU, **changes: Any) -> Recipe:
    metadata = {"name": "support", "namespace": "ml", "uid": "1", "generation": 3}
    job = {"metadata": metadata, "spec": {**LEAST, **changes}}
    return build_recipe(FineTuneJob.from_stored(job), device)


def test_the_least_job_leaves_nothing_open() -> None:
    assert recipe().model_dump(mode="json") == {
        "job": {"namespace": "ml", "name": "support", "generation": 3},
        "model": {
            "storageUri": "hf://owner/name",
            "revision": "",
            "adapterUri": "",
            "adapterRevision": "",
        },
        "task": "Chat",
        "translation": {"sourceLanguage": "", "targetLanguage": ""},
        "dataset": {
            "train": [{"storageUri": "pvc://data/train.jsonl", "weight": None}],
            "validation": [],
            "validationFraction": 0.05,
            "format": "Auto",
            "chatTemplate": "",
            "columns": dict.fromkeys(
                ["question", "answer", "context", "source", "target", "text", "textPair", "label"]
            ),
        },
        "method": {
            "type": "LoRA",
            "lora": {
                "rank": 16,
                "alpha": 32,
                "dropout": 0.0,
                "targetModulesPreset": "AllLinear",
                "targetModules": [],
                "rankStabilized": False,
                "learningRateRatio": 1.0,
                "initialization": "Default",
            },
            "dora": None,
            "ia3": None,
            "vera": None,
            "promptTuning": None,
        },
        "quantization": {"type": "None"},
        "preference": None,
        "training": {
            "epochs": 3,
            "maxSteps": None,
            "learningRate": 0.0002,
            "schedule": "Cosine",
            "warmupSteps": 0,
            "optimizer": "AdamW",
            "weightDecay": 0.0,
            "maxGradientNorm": 1.0,
            "earlyStopping": None,
            "maxLength": 1024,
            "packing": True,
            "tokensPerBatch": 8192,
            "precision": "Auto",
            "classWeights": "None",
            "seed": 42,
        },
        "compute": {
            "device": "CPU",
            "nodes": 1,
            "gpusPerNode": 0,
            "passes": None,
        },
        "distribution": {"strategy": "DataParallel", "fallbacks": [], "offload": "None"},
        "checkpoint": {"intervalSteps": 50, "intervalSeconds": 600, "keep": 2},
        "evaluation": {
            "metrics": ["Loss", "GeneralLoss"],
            "maxNewTokens": 128,
            "generatedExamples": 200,
            "shownExamples": 10,
            "intervalSteps": None,
            "bestMetric": "Loss",
            "keepBest": False,
            "gates": [],
        },
        "output": {"exports": ["Adapter"]},
    }
    assert problems(recipe()) == []


@pytest.mark.parametrize(
    ("distribution", "others", "strategy"),
    [
        ({}, {}, "DataParallel"),
        ({"strategy": "ZeRO3"}, {}, "ZeRO3"),
        ({"strategy": "ZeRO3"}, {"compute": {"device": "GPU", "nodes": 1}}, "DataParallel"),
        ({"offload": "Optimizer"}, {}, "ZeRO1"),
        ({"offload": "OptimizerAndParameters"}, {}, "ZeRO3"),
        ({"offload": "Optimizer"}, {"compute": {"device": "GPU", "nodes": 1}}, "ZeRO1"),
    ],
)
def test_auto_is_the_fastest_strategy_that_goes_with_the_rest(
    distribution: dict[str, str], others: dict[str, Any], strategy: str
) -> None:
    several = {"compute": {"device": "GPU", "nodes": 2}} | others
    made = recipe(Device.GPU, distribution=distribution, **several)
    assert made.distribution.strategy == strategy
    assert made.distribution.offload == distribution.get("offload", "None")
    assert problems(made) == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("epochs", 5),
        ("maxSteps", 100),
        ("learningRate", "1e-3"),
        ("schedule", "Constant"),
        ("warmupSteps", 7),
        ("optimizer", "Adafactor"),
        ("weightDecay", "0.01"),
        ("maxGradientNorm", "0.5"),
        ("maxLength", 512),
        ("packing", False),
        ("tokensPerBatch", 16384),
        ("precision", "BF16"),
        ("seed", 7),
    ],
)
def test_every_field_of_training_is_obeyed(field: str, value: Any) -> None:
    written = recipe(training={field: value}).model_dump(mode="json")["training"]
    unchanged = recipe().model_dump(mode="json")["training"]
    numbers = ("learningRate", "weightDecay", "maxGradientNorm")
    expected = float(value) if field in numbers else value
    assert written == {**unchanged, field: expected}


def test_gates_are_numbers() -> None:
    gates = [{"metric": "Loss", "maximum": "1.2"}, {"metric": "Loss", "minimumGain": "-.05"}]
    made = recipe(evaluation={"metrics": ["Loss"], "gates": gates}).evaluation
    assert made.metrics == [Metric.LOSS]
    assert [(gate.maximum, gate.minimum_gain) for gate in made.gates] == [
        (Decimal("1.2"), None),
        (None, Decimal("-0.05")),
    ]


def test_stopping_early_keeps_the_best() -> None:
    evaluation = {"intervalSteps": 20}
    plain = recipe(evaluation=evaluation)
    assert (plain.evaluation.interval_steps, plain.evaluation.keep_best) == (20, False)
    assert recipe(evaluation={**evaluation, "keepBest": True}).evaluation.keep_best
    rule = {"patience": 2, "minimumGain": "0.01"}
    stopping = recipe(evaluation=evaluation, training={"earlyStopping": rule})
    assert stopping.evaluation.keep_best
    assert stopping.training.early_stopping is not None
    written = stopping.training.early_stopping.model_dump(mode="json")
    assert written == {"patience": 2, "minimumGain": 0.01}


def test_full_has_no_adapter_and_a_learning_rate_of_its_own() -> None:
    full = recipe(method={"type": "Full"})
    assert full.method.type is MethodType.FULL
    assert full.method.lora is None
    assert full.training.learning_rate == 2e-5
    chosen = recipe(method={"type": "Full"}, training={"learningRate": "1e-4"})
    assert chosen.training.learning_rate == 1e-4


def test_every_member_of_low_rank_methods_is_obeyed() -> None:
    settings = {
        "rank": 8,
        "alpha": 4,
        "dropout": "0.1",
        "rankStabilized": True,
        "learningRateRatio": "16",
        "targetModules": ["q_proj"],
    }
    expected = {**settings, "dropout": 0.1, "learningRateRatio": 16.0}
    dora = recipe(method={"type": "DoRA", "dora": settings}).method.dora
    lora = recipe(method={"type": "LoRA", "lora": {**settings, "initialization": "PiSSA"}})
    preset = {"targetModulesPreset": "AllLinear"}
    assert dora is not None
    assert dora.model_dump(mode="json") == {**expected, **preset}
    assert lora.method.lora is not None
    made = lora.method.lora.model_dump(mode="json")
    assert made == {**expected, **preset, "initialization": "PiSSA"}


@pytest.mark.parametrize(
    ("method", "rate"),
    [
        ({"type": "DoRA"}, 2e-4),
        ({"type": "IA3", "ia3": {"targetModules": ["k_proj"]}}, 3e-3),
        ({"type": "VeRA", "vera": {"rank": 64, "dropout": "0.5"}}, 4e-3),
        ({"type": "PromptTuning", "promptTuning": {"virtualTokens": 7}}, 1e-2),
    ],
)
def test_every_method_has_its_member_and_a_learning_rate(
    method: dict[str, Any], rate: float
) -> None:
    made = recipe(method=method, quantization={"type": "NF4"})
    assert made.training.learning_rate == rate
    assert made.quantization.type == "NF4"
    written = made.method.model_dump(mode="json", exclude_none=True)
    for member, value in method.items():
        if isinstance(value, dict):
            numbers = {k: float(v) if k == "dropout" else v for k, v in value.items()}
            assert written[member].items() >= numbers.items()
        else:
            assert written[member] == value


def test_held_out_data_takes_the_place_of_a_fraction() -> None:
    validation = [{"storageUri": "pvc://data/validation.jsonl"}]
    held_out = recipe(dataset={**LEAST["dataset"], "validation": validation}).dataset  # type: ignore[dict-item]
    assert held_out.validation_fraction == 0.0
    assert [source.storage_uri for source in held_out.validation] == ["pvc://data/validation.jsonl"]


def test_keys_of_columns_are_obeyed() -> None:
    columns = {"question": "q", "context": "passage"}
    made = recipe(
        task="QuestionAnswering",
        dataset={**LEAST["dataset"], "columns": columns},  # type: ignore[dict-item]
    )
    assert made.dataset.columns.named() == columns
    assert problems(made) == []


def test_every_field_of_evaluation_is_obeyed() -> None:
    given = {
        "metrics": ["F1"],
        "maxNewTokens": 5,
        "generatedExamples": 6,
        "shownExamples": 0,
        "intervalSteps": 10,
        "bestMetric": "F1",
        "keepBest": True,
        "gates": [{"metric": "F1", "minimumGain": "0.05"}],
    }
    made = recipe(task="QuestionAnswering", evaluation=given)
    assert made.evaluation.model_dump(mode="json", exclude_none=True) == given
    every = recipe(task="QuestionAnswering").evaluation.metrics
    assert every == ["Loss", "ExactMatch", "F1", "GeneralLoss"]


def test_languages_are_named() -> None:
    languages = {"sourceLanguage": "German", "targetLanguage": "English"}
    made = recipe(task="Translation", translation=languages)
    assert made.translation.model_dump(mode="json") == languages


def test_weights_of_sources_are_numbers() -> None:
    train = [
        {"storageUri": "pvc://data/a.jsonl", "weight": "3"},
        {"storageUri": "pvc://data/b.jsonl", "weight": ".5"},
    ]
    assert [source.weight for source in recipe(dataset={"train": train}).dataset.train] == [3, 0.5]


def test_a_chat_template_is_passed_on() -> None:
    template = "{{ messages }}"
    made = recipe(dataset={**LEAST["dataset"], "chatTemplate": template})  # type: ignore[dict-item]
    assert made.dataset.chat_template == template


def test_preferences_are_learned_slowly_and_measured() -> None:
    least = recipe(task="Preference")
    assert least.preference == Preference(loss=PreferenceLoss.DPO, beta=0.1)
    assert least.training.learning_rate == 5e-6
    assert Metric.REWARD_ACCURACY in least.evaluation.metrics
    given = {"loss": "KTO", "beta": "0.3", "desirableWeight": "1.33", "undesirableWeight": "2"}
    assert recipe(task="Preference", preference=given).preference == Preference(
        loss=PreferenceLoss.KTO, beta=0.3, desirable_weight=1.33, undesirable_weight=2.0
    )


def test_the_adapter_to_go_on_from_reaches_the_recipe_and_its_secret_does_not() -> None:
    adapter = {"adapterUri": "hf://owner/adapter", "adapterRevision": "v2"}
    made = recipe(
        model={
            "storageUri": "hf://owner/name",
            **adapter,
            "adapterCredentialsSecretRef": {"name": "hf-token"},
        }
    )
    assert made.model_dump(mode="json")["model"] == {
        "storageUri": "hf://owner/name",
        "revision": "",
        **adapter,
    }
    assert "hf-token" not in made.canonical_json()


def test_gpus_count_on_gpu_only() -> None:
    assert recipe(Device.GPU, compute={"gpusPerNode": 4, "nodes": 2}).compute.world_size == 8
    assert recipe(Device.CPU, compute={"gpusPerNode": 4, "nodes": 2}).compute.world_size == 2


def test_credentials_do_not_reach_the_recipe() -> None:
    source = {"storageUri": "hf://owner/name", "credentialsSecretRef": {"name": "hf-token"}}
    assert "hf-token" not in recipe(model=source).canonical_json()


def test_suspension_and_restarts_do_not_change_what_is_run() -> None:
    changed = recipe(suspend=True, restarts={"limit": 9}, cleanupAfterSeconds=60)
    assert changed.digest() == recipe().digest()


ADMITTED = values(structural_schema(FineTuneJobSpec))


@given(data=st.data(), device=st.sampled_from(Device))
@settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_every_admitted_job_has_a_recipe(data: st.DataObject, device: Device) -> None:
    spec = data.draw(ADMITTED)
    dataset, method = spec["dataset"], spec.get("method", {})
    training = spec.get("training", {})
    rate, norm = (float(training.get(key, "1")) for key in ("learningRate", "maxGradientNorm"))
    fraction = float(dataset.get("validationFraction", "0.05"))
    # The rules of the CRD, which the API server evaluates.
    assume(0 < rate <= 1 and fraction <= 0.5 and norm > 0)
    assume(not ("validation" in dataset and "validationFraction" in dataset))
    kind = method.get("type", "LoRA")
    assume(all(kind == METHOD_OF_MEMBER[member] for member in method if member != "type"))
    evaluation = spec.get("evaluation", {})
    assume(all(len(gate) == 2 for gate in evaluation.get("gates", [])))
    members = [each for each in method.values() if isinstance(each, dict)]
    assume(all(1 <= float(each.get("learningRateRatio", "1")) <= 64 for each in members))
    preference = spec.get("preference", {})
    assume(0 < float(preference.get("beta", "0.1")) <= 10)
    weights = [float(preference.get(f"{word}Weight", "1")) for word in ("desirable", "undesirable")]
    assume(all(0 < weight <= 100 for weight in weights))
    made = recipe(device, **spec)
    assert Recipe.model_validate_json(made.canonical_json()) == made
