"""What is written into a status."""

from __future__ import annotations

from finetune_operator.cluster.merge_patch import merge_patch
from finetune_operator.domain.actions import JsonObject
from finetune_operator.runtime import acting


def test_a_field_that_is_empty_is_not_written_into_an_older_status() -> None:
    before = {"phase": "Succeeded", "plan": {"nodes": 1}}
    now: JsonObject = {**before, "plan": {"nodes": 1, "alternatives": []}, "artifacts": []}
    assert merge_patch(before, acting._told(now)) == {}
    emptied: JsonObject = {"phase": "Succeeded", "plan": {"nodes": 0}}
    assert merge_patch(before, acting._told(emptied)) == {"plan": {"nodes": 0}}
