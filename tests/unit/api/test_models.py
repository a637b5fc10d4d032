"""The models and the schema say the same."""

from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from finetune_operator.api.base import ApiModel
from finetune_operator.api.conditions import ConditionType
from finetune_operator.api.fine_tune_class import FineTuneClassSpec
from finetune_operator.api.fine_tune_job import FineTuneJob, FineTuneJobSpec
from finetune_operator.api.fine_tune_job_status import FineTuneJobStatus, Phase
from finetune_operator.api.inference_revision import InferenceRevisionSpec
from finetune_operator.api.inference_workspace import (
    InferenceWorkspaceSpec,
    InferenceWorkspaceStatus,
)
from finetune_operator.api.reason import Reason
from finetune_operator.api.schema import structural_schema
from tests.unit.api.schema_strategy import values

PARTS: list[type[ApiModel]] = [
    FineTuneClassSpec,
    FineTuneJobSpec,
    FineTuneJobStatus,
    InferenceRevisionSpec,
    InferenceWorkspaceSpec,
    InferenceWorkspaceStatus,
]


SCHEMAS = {part: structural_schema(part) for part in PARTS}
STORED = {part: values(schema) for part, schema in SCHEMAS.items()}


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.__name__)
@given(data=st.data())
@settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_what_the_schema_admits_the_model_reads_and_gives_back(
    part: type[ApiModel], data: st.DataObject
) -> None:
    stored = data.draw(STORED[part])
    read = part.model_validate(stored)
    given_back = read.to_dict()
    jsonschema.validate(given_back, SCHEMAS[part])
    assert part.model_validate(given_back) == read


def job(**changes: Any) -> dict[str, Any]:
    return {
        "apiVersion": "finetune.dev/v1beta1",
        "kind": "FineTuneJob",
        "metadata": {"name": "support", "namespace": "ml", "uid": "1", "managedFields": []},
        "spec": {
            "model": {"storageUri": "hf://owner/name"},
            "task": "Chat",
            "dataset": {"train": [{"storageUri": "pvc://data/train.jsonl"}]},
            "output": {"storageUri": "oci://registry.example.com/support:v1"},
            **changes,
        },
    }


def test_a_stored_object_of_a_newer_version_is_read() -> None:
    newer = job(forecast={"horizon": "40"}, training={"epochs": 2, "lookahead": True})
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        FineTuneJob.model_validate(newer)
    read = FineTuneJob.from_stored(newer)
    assert read.spec.training.epochs == 2
    assert "forecast" not in read.to_dict()["spec"]


def test_models_do_not_change() -> None:
    read = FineTuneJob.from_stored(job())
    with pytest.raises(ValidationError, match="frozen"):
        read.spec.suspend = True  # type: ignore[misc]


def test_moments_are_written_in_whole_seconds() -> None:
    condition = {
        "type": "Accepted",
        "status": "True",
        "reason": "Accepted",
        "lastTransitionTime": "2026-11-22T11:00:00.123456+01:00",
    }
    status = FineTuneJobStatus.model_validate({"conditions": [condition]}).to_dict()
    assert status["conditions"][0]["lastTransitionTime"] == "2026-11-22T10:00:00Z"


@pytest.mark.parametrize("word", [*Phase, *ConditionType, *Reason], ids=str)
def test_every_word_of_a_condition_is_explained(word: Phase | ConditionType | Reason) -> None:
    assert word.value[0].isupper() and word.value.isalnum()
    assert word.meaning.endswith((".", ")."))
