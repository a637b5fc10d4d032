"""What a training does not use, it does not load."""

from pathlib import Path
from typing import Any

import pytest

from finetune_trainer.libraries import unused
from finetune_trainer.workspace import Workspace
from tests.trainer.recipes import recipe

PLAIN = {"datasets", "bitsandbytes", "deepspeed", "sklearn", "scipy", "triton"}
"""What LoRA of unquantized weights by one process on a CPU does without."""


@pytest.mark.parametrize(
    ("changes", "config", "used"),
    [
        ({}, "{}", set()),
        ({"quantization": {"type": "NF4"}}, "{}", {"bitsandbytes"}),
        ({"training": {"optimizer": "AdamW8bit"}}, "{}", {"bitsandbytes"}),
        ({}, '{"quantization_config": {"load_in_4bit": true}}', {"bitsandbytes"}),
        ({}, "broken", set()),
        (
            {"distribution": {"strategy": "ZeRO1"}, "compute": {"nodes": 2}},
            "{}",
            {"deepspeed"},
        ),
        ({"task": "TokenClassification"}, "{}", {"sklearn", "scipy"}),
        ({"compute": {"device": "GPU", "gpusPerNode": 1}}, "{}", {"triton"}),
    ],
    ids=[
        "plain",
        "NF4",
        "8-bit optimizer",
        "4-bit files",
        "broken files",
        "ZeRO1",
        "entities",
        "GPU",
    ],
)
def test_a_library_is_for_those_who_use_it(
    tmp_path: Path, changes: dict[str, Any], config: str, used: set[str]
) -> None:
    workspace = Workspace(tmp_path)
    workspace.model.mkdir(parents=True)
    (workspace.model / "config.json").write_text(config)
    assert set(unused(recipe(**changes), workspace)) == PLAIN - used
