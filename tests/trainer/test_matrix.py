"""Any two choices that are not refused work together; `make matrix` tries all of them at once."""

from pathlib import Path

import pytest

from finetune_trainer.manifest import CompletionManifest
from finetune_trainer.workspace import Workspace
from tests.trainer.matrix import Cell, check, pairs, train
from tests.trainer.recipes import workspace

# PEFT asks transformers by an old name.
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated")


@pytest.mark.parametrize("cell", pairs(), ids=str)
def test_what_is_not_refused_works(cell: Cell, tmp_path: Path) -> None:
    check(cell, tmp_path)


def test_the_base_is_measured_as_it_was_whatever_the_method_starts_from(
    tiny_model: Path, tmp_path: Path
) -> None:
    measured = set()
    for method in ("LoRA", "rsLoRA+ from PiSSA", "PromptTuning"):
        cell = Cell(
            method, "None", "Chat", "FP32", packing=True, optimizer="AdamW", architecture="llama"
        )
        root = tmp_path / method
        root.mkdir()
        train(workspace(root, tiny_model, **cell.changes), Workspace(root), attempt=1)
        completion = (root / "output" / "completion.json").read_bytes()
        evaluation = CompletionManifest.model_validate_json(completion).evaluation
        assert evaluation is not None
        measured.add(evaluation.base["Loss"])
    assert len(measured) == 1
