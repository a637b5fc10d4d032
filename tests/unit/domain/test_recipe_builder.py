"""A FineTuneJob and a device make one recipe, with every default filled in."""

from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from finetune_operator.api.fine_tune_job import FineTuneJob, FineTuneJobSpec
from finetune_operator.api.schema import structural_schema
from finetune_operator.domain.recipe_builder import build_recipe
from finetune_trainer.recipe import Device, MethodType, Recipe
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
        "model": {"storageUri": "hf://owner/name", "revision": ""},
        "task": "Chat",
        "dataset": {
            "train": [{"storageUri": "pvc://data/train.jsonl"}],
            "validation": [],
            "validationFraction": 0.05,
            "format": "Auto",
        },
        "method": {
            "type": "LoRA",
            "lora": {
                "rank": 16,
                "alpha": 32,
                "dropout": 0.0,
                "targetModulesPreset": "AllLinear",
                "targetModules": [],
            },
        },
        "training": {
            "epochs": 3,
            "maxSteps": None,
            "learningRate": 0.0002,
            "schedule": "Cosine",
            "warmupSteps": 0,
            "maxLength": 1024,
            "packing": True,
            "tokensPerBatch": 8192,
            "precision": "Auto",
            "seed": 42,
        },
        "compute": {"device": "CPU", "nodes": 1, "gpusPerNode": 0},
        "checkpoint": {"intervalSteps": 50, "intervalSeconds": 600, "keep": 2},
    }
    assert problems(recipe()) == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("epochs", 5),
        ("maxSteps", 100),
        ("learningRate", "1e-3"),
        ("schedule", "Constant"),
        ("warmupSteps", 7),
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
    expected = float(value) if field == "learningRate" else value
    assert written == {**unchanged, field: expected}


def test_full_has_no_adapter_and_a_learning_rate_of_its_own() -> None:
    full = recipe(method={"type": "Full"})
    assert full.method.type is MethodType.FULL
    assert full.method.lora is None
    assert full.training.learning_rate == 2e-5
    chosen = recipe(method={"type": "Full"}, training={"learningRate": "1e-4"})
    assert chosen.training.learning_rate == 1e-4


def test_held_out_data_takes_the_place_of_a_fraction() -> None:
    validation = [{"storageUri": "pvc://data/validation.jsonl"}]
    held_out = recipe(dataset={**LEAST["dataset"], "validation": validation}).dataset  # type: ignore[dict-item]
    assert held_out.validation_fraction == 0.0
    assert [source.storage_uri for source in held_out.validation] == ["pvc://data/validation.jsonl"]


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
    rate = float(spec.get("training", {}).get("learningRate", "2e-4"))
    fraction = float(dataset.get("validationFraction", "0.05"))
    # The rules of the CRD, which the API server evaluates.
    assume(0 < rate <= 1 and fraction <= 0.5)
    assume(not ("validation" in dataset and "validationFraction" in dataset))
    assume(method.get("type", "LoRA") == "LoRA" or "lora" not in method)
    made = recipe(device, **spec)
    assert Recipe.model_validate_json(made.canonical_json()) == made
