"""What a training does not use, it does not load."""

from pathlib import Path
from typing import Any

import pytest

from finetune_trainer.libraries import unused
from finetune_trainer.workspace import Workspace
from tests.trainer.recipes import recipe


@pytest.mark.parametrize(
    ("changes", "config", "expected"),
    [
        ({}, "{}", {"bitsandbytes", "deepspeed"}),
        ({"quantization": {"type": "NF4"}}, "{}", {"deepspeed"}),
        ({"training": {"optimizer": "AdamW8bit"}}, "{}", {"deepspeed"}),
        ({}, '{"quantization_config": {"load_in_4bit": true}}', {"deepspeed"}),
        ({}, "broken", {"bitsandbytes", "deepspeed"}),
        (
            {"distribution": {"strategy": "ZeRO1"}, "compute": {"nodes": 2}},
            "{}",
            {"bitsandbytes"},
        ),
    ],
    ids=["plain", "NF4", "8-bit optimizer", "4-bit files", "broken files", "ZeRO1"],
)
def test_a_library_is_for_those_who_use_it(
    tmp_path: Path, changes: dict[str, Any], config: str, expected: set[str]
) -> None:
    workspace = Workspace(tmp_path)
    workspace.model.mkdir(parents=True)
    (workspace.model / "config.json").write_text(config)
    assert set(unused(recipe(**changes), workspace)) == {"datasets", *expected}
