"""What makes two results the same, and what does not."""

from __future__ import annotations

from typing import Any

import pytest

from finetune_operator.api.fine_tune_job import FineTuneJob
from finetune_operator.api.fine_tune_job_status import Resolved
from finetune_operator.domain.recipe_builder import build_recipe
from finetune_operator.domain.result_key import result_key
from finetune_trainer.recipe import Device, Recipe
from tests.unit.domain.in_memory import job

RESOLVED = Resolved(
    model_revision="a" * 40,
    dataset_digest="sha256:" + "b" * 64,
    recipe_digest="sha256:" + "c" * 64,
    trainer_image="registry.example.com/trainer@sha256:" + "d" * 64,
)
SOURCE = "pvc://data/train.jsonl"


def recipe(**spec: Any) -> Recipe:
    return build_recipe(job(**spec), Device.CPU)


def key(made: Recipe, **resolved: Any) -> str:
    found = result_key(made, RESOLVED.model_copy(update=resolved))
    assert found is not None
    return found


SAME: dict[str, dict[str, Any]] = {
    "the tag that it is pushed to": {"output": {"storageUri": "oci://elsewhere.example.com/b:v2"}},
    "what is made of it": {
        "output": {"storageUri": "oci://registry.local:5000/a:v1", "exports": ["Adapter", "GGUF"]}
    },
    "when checkpoints are written": {
        "checkpoint": {"intervalSteps": 7, "keep": 1, "volumeClaim": {"size": "9Gi"}}
    },
    "what may go wrong": {"restarts": {"limit": 9}},
    "what it may cost": {"budget": {"maxDurationSeconds": 600}},
    "where the data lies": {"dataset": {"train": [{"storageUri": SOURCE}]}},
    "by which name the revision was asked for": {
        "model": {"storageUri": "hf://example/model", "revision": "main"}
    },
    "what has to hold": {"evaluation": {"gates": [{"metric": "Loss", "maximum": "1"}]}},
    "who serves it": {"publish": {"type": "Workspace", "workspace": {"name": "support"}}},
    "when it is cleaned up": {"cleanupAfterSeconds": 60},
}
OTHER: dict[str, dict[str, Any]] = {
    "how fast it learns": {"training": {"learningRate": "1e-3"}},
    "chance": {"training": {"seed": 7}},
    "what is trained": {"method": {"type": "LoRA", "lora": {"rank": 4, "alpha": 8}}},
    "another model": {"model": {"storageUri": "hf://example/other"}},
    "another task": {"task": "Instruction"},
    "more data": {"dataset": {"train": [{"storageUri": SOURCE}] * 2}},
    "how much of each": {"dataset": {"train": [{"storageUri": SOURCE, "weight": "2"}]}},
    "how the data is read": {"dataset": {"train": [{"storageUri": SOURCE}], "format": "ShareGPT"}},
    "what is measured": {"evaluation": {"maxNewTokens": 7}},
}


@pytest.mark.parametrize("spec", SAME.values(), ids=SAME)
def test_what_does_not_decide_the_result(spec: dict[str, Any]) -> None:
    assert key(recipe(**spec)) == key(recipe())


@pytest.mark.parametrize("spec", OTHER.values(), ids=OTHER)
def test_what_does(spec: dict[str, Any]) -> None:
    assert key(recipe(**spec)) != key(recipe())


def test_where_it_is_trained_does_not() -> None:
    """Of device Auto a cluster decides, and a new one that has no GPU yet decides otherwise."""
    assert key(build_recipe(job(), Device.GPU)) == key(recipe())


def test_whose_it_is_does_not() -> None:
    stored = job().to_dict()
    stored["metadata"] |= {"name": "again", "namespace": "other", "generation": 5, "uid": "new"}
    moved = build_recipe(FineTuneJob.from_stored(stored), Device.CPU)
    assert moved.digest() != recipe().digest()
    assert key(moved) == key(recipe())


def test_what_names_stand_for_does() -> None:
    keys = {
        key(recipe()),
        key(recipe(), model_revision="e" * 40),
        key(recipe(), adapter_revision="e" * 40),
        key(recipe(), dataset_digest="sha256:" + "e" * 64),
        key(recipe(), trainer_image="registry.example.com/trainer@sha256:" + "e" * 64),
    }
    assert len(keys) == 5
    mirror = key(recipe(), trainer_image="mirror.example.com/t:1@sha256:" + "d" * 64)
    assert mirror == key(recipe()), "where an image is pulled from does not decide what is in it"


@pytest.mark.parametrize("member", ["model_revision", "dataset_digest", "trainer_image"])
def test_there_is_no_key_without(member: str) -> None:
    assert result_key(recipe(), RESOLVED.model_copy(update={member: None})) is None


def test_there_is_no_key_where_the_image_has_a_tag() -> None:
    tagged = RESOLVED.model_copy(update={"trainer_image": "registry.example.com/trainer:1"})
    assert result_key(recipe(), tagged) is None


def test_there_is_no_key_before_the_adapter_is_known() -> None:
    chained = recipe(
        model={"storageUri": "hf://example/model", "adapterUri": "oci://registry.example.com/a:v1"}
    )
    assert result_key(chained, RESOLVED) is None


def leaves(value: Any, path: tuple[str, ...] = ()) -> set[str]:
    """Paths of everything in a recipe that is no object; places in a list are all one."""
    if isinstance(value, dict):
        return {each for name in value for each in leaves(value[name], (*path, name))}
    if isinstance(value, list) and value:
        return {each for item in value for each in leaves(item, path)}
    return {".".join(path)}


def test_only_what_is_named_here_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A field that is added some day decides the result unless somebody says that it does not."""
    digested: list[Any] = []
    monkeypatch.setattr("finetune_trainer.recipe._digest", digested.append)
    made = recipe(
        dataset={
            "train": [{"storageUri": SOURCE, "weight": "2"}],
            "validation": [{"storageUri": SOURCE}],
        },
        evaluation={"gates": [{"metric": "Loss", "maximum": "1"}]},
    )
    made.digest()
    made.result_digest()
    everything, deciding = map(leaves, digested)
    whole = ("job.", "compute.", "distribution.", "checkpoint.", "output.")
    assert {each for each in everything - deciding if not each.startswith(whole)} == {
        "model.revision",
        "model.adapterRevision",
        "dataset.train.storageUri",
        "dataset.validation.storageUri",
        "evaluation.gates.metric",
        "evaluation.gates.maximum",
        "evaluation.gates.minimum",
        "evaluation.gates.minimumGain",
    }
