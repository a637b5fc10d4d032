"""The model that training starts from is measured once, and what is compared is what is served."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from finetune_trainer.cgroup import Cgroup
from finetune_trainer.objectives.causal import CausalObjective
from finetune_trainer.report.metrics_log import MetricsLog
from finetune_trainer.workspace import Workspace
from tests.trainer.matrix import METHOD_SETTINGS, train
from tests.trainer.recipes import CONVERSATIONS, workspace, write_lines

NF4 = {"type": "NF4"}


@pytest.fixture(scope="module")
def earlier(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace in which LoRA was trained."""
    root = tmp_path_factory.mktemp("earlier")
    tuned(root, tiny_model)
    return root


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A word for each model that has been measured."""
    calls: list[str] = []
    original = CausalObjective.measure

    def measure(self: CausalObjective, model: Any, *others: Any) -> Any:
        calls.append(type(model).__name__)
        return original(self, model, *others)

    monkeypatch.setattr(CausalObjective, "measure", measure)
    return calls


def tuned(
    root: Path, model: Path, before: Path | None = None, held_out: int = 8, **changes: Any
) -> tuple[dict[str, Any], dict[int, float]]:
    """The manifest and the held-out curve of a run that finds what one before it has kept."""
    given: dict[str, Any] = {
        "dataset": {"validation": [{"storageUri": "pvc://data/validation.jsonl"}]},
        "training": {"maxSteps": 3},
    }
    made = workspace(root, model, CONVERSATIONS, **(given | changes))
    (root / "inputs" / "validation-0").mkdir()
    lines = CONVERSATIONS[:held_out]
    write_lines(root / "inputs" / "validation-0" / "validation.jsonl", lines)
    if before:
        shutil.copytree(before / "base-scores", root / "base-scores")
    train(made, Workspace(root), attempt=1)
    completion = json.loads((root / "output" / "completion.json").read_text())
    points = MetricsLog(Workspace(root).metrics).read()
    curve = {each.step: each.validation_loss for each in points if each.validation_loss is not None}
    return completion, curve


def kept(root: Path) -> set[str]:
    return {path.name for path in (root / "base-scores").iterdir()}


def base_of(completion: dict[str, Any]) -> dict[str, str]:
    base: dict[str, str] = completion["evaluation"]["base"]
    return base


@pytest.mark.parametrize(
    "changes",
    [
        {"training": {"maxSteps": 3, "learningRate": 1e-3, "seed": 5}},
        {"method": METHOD_SETTINGS["DoRA"]},
    ],
    ids=["other rate and seed", "other method"],
)
def test_what_does_not_change_it_does_not_measure_it_again(
    changes: dict[str, Any],
    tiny_model: Path,
    tmp_path: Path,
    earlier: Path,
    measured: list[str],
) -> None:
    completion, curve = tuned(tmp_path, tiny_model, earlier, **changes)
    assert len(measured) == 1  # the tuned one
    assert kept(tmp_path) == kept(earlier)
    assert f"{curve[0]:.4f}" == base_of(completion)["Loss"]
    assert base_of(completion)["Loss"] != completion["evaluation"]["tuned"]["Loss"]


@pytest.mark.parametrize(
    "changes",
    [
        {"held_out": 9},
        {"evaluation": {"metrics": ["GeneralLoss"]}},
        {"evaluation": {"shownExamples": 1}},
        {"training": {"maxSteps": 3, "maxLength": 64}},
    ],
    ids=["other data", "other metrics", "other answers", "other length"],
)
def test_what_changes_it_has_it_measured(
    changes: dict[str, Any],
    tiny_model: Path,
    tmp_path: Path,
    earlier: Path,
    measured: list[str],
) -> None:
    tuned(tmp_path, tiny_model, earlier, **changes)
    assert len(measured) == 2
    assert len(kept(tmp_path) - kept(earlier)) == 1


def test_scores_that_are_torn_are_measured_again(
    tiny_model: Path, tmp_path: Path, earlier: Path
) -> None:
    torn = tmp_path / "torn"
    (torn / "base-scores").mkdir(parents=True)
    (name,) = kept(earlier)
    whole = (earlier / "base-scores" / name).read_bytes()
    (torn / "base-scores" / name).write_bytes(whole[:-2])
    tuned(tmp_path / "run", tiny_model, torn)
    assert (tmp_path / "run" / "base-scores" / name).read_bytes() == whole


def test_a_quantized_job_is_compared_with_the_base_that_is_served(
    tiny_model: Path, tmp_path: Path, earlier: Path
) -> None:
    completion, curve = tuned(tmp_path, tiny_model, earlier, quantization=NF4)
    before = json.loads((earlier / "output" / "completion.json").read_text())
    assert base_of(completion) == base_of(before)
    assert f"{curve[0]:.4f}" != base_of(completion)["Loss"]  # the curve is of what is trained
    assert sorted(curve) == [0, 3]
    assert 0 < completion["divergence"] < 0.1
    # What is not served writes none of the answers that the report shows.
    (of_start,) = kept(tmp_path) - kept(earlier)
    assert json.loads((tmp_path / "base-scores" / of_start).read_bytes())["answers"] == []


def test_without_room_for_what_is_served_the_quantized_model_is_compared(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Cgroup, "memory_left", lambda _: 1)
    completion, curve = tuned(tmp_path, tiny_model, quantization=NF4)
    assert completion.get("divergence") is None
    assert base_of(completion)["Loss"] == f"{curve[0]:.4f}"
    assert completion["evaluation"]["tuned"]["Loss"] == f"{curve[3]:.4f}"
    scores = json.loads((tmp_path / "output" / "evaluation.json").read_text())
    assert len(scores["answers"]) == 2
