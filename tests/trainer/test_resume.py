"""Whatever ends an attempt, the next one ends where an undisturbed run would have."""

import hashlib
import json
import signal
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from finetune_trainer.engine import checkpoints
from finetune_trainer.engine.callbacks import Report
from finetune_trainer.exit_codes import ExitCode
from tests.trainer.processes import kill_self, train
from tests.trainer.recipes import workspace

DROPOUT: dict[str, Any] = {"method": {"lora": {"dropout": 0.1}}}
"""So that random numbers have to go on where they were, too."""


def at_step(step: int, number: signal.Signals) -> None:
    """In the process: receive the signal when the loss of this step has been read."""
    original = Report.on_log

    def on_log(self: Report, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        original(self, args, state, control, **kwargs)
        if state.global_step == step:
            kill_self(number)

    Report.on_log = on_log  # type: ignore[method-assign]


def while_writing(step: int, moment: str) -> None:
    """In the process: be killed at a moment of writing the checkpoint of this step."""
    original = getattr(checkpoints.Checkpoints, moment)

    def killed(self: Any, *args: Any) -> Any:
        newest = max((path.name for path in self.root.glob("*step-*")), default="")
        if f"{step:08d}" in newest or any(f"{step:08d}" in str(value) for value in args):
            if moment == "_commit":
                # Half of a tensor file is there, as after a crash in the middle of it.
                with (args[0] / "weights-1.safetensors").open("r+b") as file:
                    file.truncate(100)
            kill_self(signal.SIGKILL)
        return original(self, *args)

    setattr(checkpoints.Checkpoints, moment, killed)


@pytest.fixture(scope="module")
def undisturbed(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("undisturbed")
    workspace(root, tiny_model, **DROPOUT)
    (ended,) = train(root)
    assert ended.trained.step == 12
    return root


def digest(root: Path) -> str:
    adapter = root / "output" / "adapter" / "adapter_model.safetensors"
    return hashlib.sha256(adapter.read_bytes()).hexdigest()


def _first(log: str) -> int:
    """The first step that an attempt took."""
    line = next(line for line in log.splitlines() if "  loss " in line)
    return int(line.split("step ")[1].split("/")[0])


def test_sigterm_repeats_no_step(tiny_model: Path, tmp_path: Path, undisturbed: Path) -> None:
    workspace(tmp_path, tiny_model, **DROPOUT)
    (stopped,) = train(tmp_path, prepare=[partial(at_step, 6, signal.SIGTERM)])
    assert stopped.exit_code == ExitCode.PREEMPTED, stopped.log
    saved = stopped.failure.step
    assert saved == 7
    (resumed,) = train(tmp_path, attempt=2)
    assert resumed.trained.step == 12
    assert _first(resumed.log) == saved + 1
    assert digest(tmp_path) == digest(undisturbed)


def test_nothing_is_trained_again_once_all_steps_are_done(
    tiny_model: Path, tmp_path: Path, undisturbed: Path
) -> None:
    workspace(tmp_path, tiny_model, **DROPOUT)
    (stopped,) = train(tmp_path, prepare=[partial(at_step, 12, signal.SIGTERM)])
    assert stopped.exit_code == ExitCode.PREEMPTED, stopped.log
    (resumed,) = train(tmp_path, attempt=2)
    assert "  loss " not in resumed.log
    completion = json.loads((undisturbed / "output/completion.json").read_text())
    assert resumed.trained.loss == completion["loss"]
    assert digest(tmp_path) == digest(undisturbed)


def test_sigkill_repeats_less_than_an_interval(
    tiny_model: Path, tmp_path: Path, undisturbed: Path
) -> None:
    workspace(tmp_path, tiny_model, **DROPOUT)
    (killed,) = train(tmp_path, prepare=[partial(at_step, 10, signal.SIGKILL)])
    assert killed.exit_code == -signal.SIGKILL
    (resumed,) = train(tmp_path, attempt=2)
    assert _first(resumed.log) == 9
    assert digest(tmp_path) == digest(undisturbed)


@pytest.mark.parametrize(
    ("moment", "resumed_after"),
    [("_commit", 4), ("_prune", 8)],
    ids=["before the rename", "after the rename"],
)
def test_kill_while_a_checkpoint_is_written(
    tiny_model: Path, tmp_path: Path, undisturbed: Path, moment: str, resumed_after: int
) -> None:
    workspace(tmp_path, tiny_model, **DROPOUT)
    (killed,) = train(tmp_path, prepare=[partial(while_writing, 8, moment)])
    assert killed.exit_code == -signal.SIGKILL
    (resumed,) = train(tmp_path, attempt=2)
    assert _first(resumed.log) == resumed_after + 1
    assert digest(tmp_path) == digest(undisturbed)


def test_torn_checkpoint_is_passed_over(
    tiny_model: Path, tmp_path: Path, undisturbed: Path
) -> None:
    workspace(tmp_path, tiny_model, **DROPOUT)
    train(tmp_path, prepare=[partial(at_step, 10, signal.SIGKILL)])
    torn = tmp_path / "checkpoints" / "step-00000008" / "optimizer-1.safetensors"
    content = torn.read_bytes()
    torn.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    (resumed,) = train(tmp_path, attempt=2)
    assert "step-00000008 is not whole and is not used: optimizer-1.safetensors" in resumed.log
    assert _first(resumed.log) == 5
    assert digest(tmp_path) == digest(undisturbed)


def test_full_resumes_bitwise(tiny_model: Path, tmp_path: Path) -> None:
    full: dict[str, Any] = {
        "method": {"type": "Full", "lora": None},
        "training": {"learningRate": 1e-3},
    }
    for name in ("whole", "broken"):
        (tmp_path / name).mkdir()
        workspace(tmp_path / name, tiny_model, **full)
    train(tmp_path / "whole")
    train(tmp_path / "broken", prepare=[partial(at_step, 6, signal.SIGTERM)])
    (resumed,) = train(tmp_path / "broken", attempt=2)
    assert resumed.trained.step == 12
    models = [tmp_path / name / "output" / "model" for name in ("whole", "broken")]
    whole, broken = (load_file(model / "model.safetensors") for model in models)
    assert whole.keys() == broken.keys()
    assert all(torch.equal(whole[name], broken[name]) for name in whole)


def test_complete_output_is_not_made_again(undisturbed: Path) -> None:
    before = digest(undisturbed)
    (again,) = train(undisturbed, attempt=2)
    assert again.trained.step == 12
    assert "  loss " not in again.log
    assert digest(undisturbed) == before
