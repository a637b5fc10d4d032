"""Evaluation along the way: what it decides is the same whatever ends an attempt."""

import json
import signal
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from finetune_trainer.engine.callbacks import Evaluations
from finetune_trainer.engine.held_out import HeldOut
from finetune_trainer.engine.state import WEIGHTS
from finetune_trainer.exit_codes import ExitCode
from finetune_trainer.objectives.general import general_texts
from finetune_trainer.recipe import Recipe
from finetune_trainer.report.metrics_log import MetricsLog
from finetune_trainer.workspace import Workspace
from tests.trainer.matrix import METHOD_SETTINGS
from tests.trainer.matrix import train as train_here
from tests.trainer.processes import kill_self, train
from tests.trainer.recipes import CONVERSATIONS, workspace, write_lines

CHANGES: dict[str, Any] = {
    "method": METHOD_SETTINGS["Full"],
    "dataset": {"validation": [{"storageUri": "pvc://data/validation.jsonl"}]},
    "training": {
        "maxSteps": 40,
        "learningRate": 3e-3,
        "schedule": "Constant",
        "earlyStopping": {"patience": 2},
    },
    "evaluation": {"intervalSteps": 3, "keepBest": True, "metrics": ["Loss", "GeneralLoss"]},
    "checkpoint": {"intervalSteps": 1000, "keep": 1},
}


def _lay_out(root: Path, model: Path) -> Recipe:
    """Learns sums by heart, so that others are soon answered worse."""
    root.mkdir(exist_ok=True)
    made = workspace(root, model, CONVERSATIONS[:6], **CHANGES)
    (root / "inputs" / "validation-0").mkdir()
    write_lines(root / "inputs" / "validation-0" / "validation.jsonl", CONVERSATIONS[6:])
    return made


def _result(root: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor], list[Any]]:
    completion = json.loads((root / "output" / "completion.json").read_text())
    points = [
        (each.step, each.validation_loss)
        for each in MetricsLog(Workspace(root).metrics).read()
        if each.validation_loss is not None
    ]
    return completion, load_file(root / "output" / "model" / "model.safetensors"), points


@pytest.fixture(scope="module")
def undisturbed(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("undisturbed")
    train_here(_lay_out(root, tiny_model), Workspace(root), attempt=1)
    return root


def test_training_stops_early_and_the_result_is_the_best(undisturbed: Path) -> None:
    completion, weights, points = _result(undisturbed)
    best = min(points[1:], key=lambda point: point[1])
    assert completion["best"] == {"step": best[0], "metric": "Loss", "value": f"{best[1]:.4f}"}
    assert completion["step"] == best[0] + 2 * 3 < completion["totalSteps"] == 40
    assert [step for step, _ in points] == [0, *range(3, completion["step"] + 1, 3)]
    assert completion["evaluation"]["tuned"]["Loss"] == completion["best"]["value"]
    # What is not the newest stays, because it is the best.
    kept = sorted(path.name for path in (undisturbed / "checkpoints").iterdir())
    assert kept == [f"step-{step:08d}" for step in (best[0], completion["step"])]
    saved = load_file(undisturbed / "checkpoints" / kept[0] / f"{WEIGHTS}-1.safetensors")
    assert all(torch.equal(weights[name], value) for name, value in saved.items())


def test_what_is_forgotten_is_measured_on_texts_of_no_task(
    undisturbed: Path, tiny_model: Path
) -> None:
    completion, _, _ = _result(undisturbed)
    texts = general_texts()
    assert len(set(texts)) == len(texts) == 40
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    for name, folder in (("base", tiny_model), ("tuned", undisturbed / "output" / "model")):
        model: Any = AutoModelForCausalLM.from_pretrained(folder).eval()
        total = count = 0.0
        for text in texts:
            ids = torch.tensor([tokenizer(text)["input_ids"][:128]])
            with torch.no_grad():
                loss = model(input_ids=ids, labels=ids).loss
            total, count = total + float(loss) * (ids.numel() - 1), count + ids.numel() - 1
        measured = float(completion["evaluation"][name]["GeneralLoss"])
        assert measured == pytest.approx(total / count, abs=1e-4)


def _assert_same(root: Path, undisturbed: Path) -> None:
    (completion, weights, points), whole = _result(root), _result(undisturbed)
    for name in ("best", "step", "totalSteps", "loss", "evaluation"):
        assert completion[name] == whole[0][name]
    assert all(torch.equal(value, whole[1][name]) for name, value in weights.items())
    assert points == whole[2]


class _KilledError(BaseException):
    """Ends everything where it stands."""


@pytest.mark.parametrize("evaluation", [2, 3, 5, 6])
def test_an_evaluation_that_was_cut_short_is_made_up_for(
    evaluation: int,
    tiny_model: Path,
    tmp_path: Path,
    undisturbed: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root = tmp_path / "run"
    made, measured = _lay_out(root, tiny_model), []
    original = HeldOut.compare

    def compare(self: HeldOut, model: torch.nn.Module, step: int) -> float:
        found = original(self, model, step)
        measured.append(step)
        if len(measured) == evaluation:
            raise _KilledError
        return found

    monkeypatch.setattr(HeldOut, "compare", compare)
    with pytest.raises(_KilledError):
        train_here(made, Workspace(root), attempt=1)
    train_here(made, Workspace(root), attempt=2)
    assert measured[evaluation] == measured[evaluation - 1] == 3 * evaluation
    _assert_same(root, undisturbed)


def asked_to_stop_at(step: int) -> None:
    """In the process: receive SIGTERM after all have agreed to go on to the evaluation."""
    original = Evaluations.on_step_end

    def on_step_end(self: Evaluations, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        original(self, args, state, control, **kwargs)
        if state.global_step == step:
            kill_self(signal.SIGTERM)

    Evaluations.on_step_end = on_step_end  # type: ignore[method-assign]


def test_all_processes_decide_alike_and_one_goes_on_from_two(
    tiny_model: Path, tmp_path: Path, undisturbed: Path
) -> None:
    root = tmp_path / "run"
    _lay_out(root, tiny_model)
    for ended in train(root, processes=2, prepare=[None, partial(asked_to_stop_at, 6)]):
        assert ended.exit_code == ExitCode.PREEMPTED, ended.log
        assert ended.failure.step == 7
    (resumed,) = train(root, attempt=2)
    whole = _result(undisturbed)[0]
    value = float(whole["best"]["value"])
    assert (resumed.trained.step, resumed.trained.total_steps) == (whole["step"], 40)
    assert resumed.trained.best is not None
    assert resumed.trained.best.step == whole["best"]["step"]
    assert float(resumed.trained.best.value) == pytest.approx(value, abs=1e-3)
