"""Several processes: the same curve as one, and a way on when one of them is lost."""

import os
import re
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from finetune_trainer.engine.trainer import PackedTrainer
from finetune_trainer.exit_codes import ExitCode
from finetune_trainer.launch import MESSAGE_VARIABLE
from tests.trainer.processes import Ended, kill_self, train
from tests.trainer.recipes import workspace
from tests.trainer.test_resume import at_step

TWO: dict[str, Any] = {"compute": {"nodes": 2}}


def curve(ended: Ended) -> list[float]:
    return [float(loss) for loss in re.findall(r"  loss (\S+)", ended.log)]


def adapter(root: Path) -> dict[str, torch.Tensor]:
    return load_file(root / "output" / "adapter" / "adapter_model.safetensors")


def farthest(first: Path, second: Path) -> float:
    one, other = adapter(first), adapter(second)
    assert one.keys() == other.keys()
    return max(float((one[name] - other[name]).abs().max()) for name in one)


@pytest.fixture(scope="module")
def undisturbed(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("two")
    workspace(root, tiny_model, **TWO)
    assert [ended.exit_code for ended in train(root, processes=2)] == [0, 0]
    return root


def test_the_layout_of_a_step_changes_no_result(tiny_model: Path, tmp_path: Path) -> None:
    frugal = {"microBatch": 4, "activationCheckpointing": True}
    for at, layout in enumerate([{"microBatch": 1}, frugal]):
        root = tmp_path / str(at)
        root.mkdir()
        workspace(root, tiny_model, compute={"passes": layout})
        (ended,) = train(root)
        assert ended.trained.step == 12
    assert 0 < farthest(tmp_path / "0", tmp_path / "1") < 1e-4


def fail_where_weights_move() -> None:
    """Ends a process whose weights are in another place at the first step than before."""
    begin, step = PackedTrainer.__init__, PackedTrainer.training_step

    def places(model: torch.nn.Module) -> list[int]:
        return [each.data_ptr() for each in model.parameters()]

    def beginning(trainer: PackedTrainer, *, model: torch.nn.Module, **rest: Any) -> None:
        trainer.places = places(model)  # type: ignore[attr-defined]
        begin(trainer, model=model, **rest)

    def stepping(trainer: PackedTrainer, *arguments: Any) -> torch.Tensor:
        assert places(trainer._trained_model) == trainer.places  # type: ignore[attr-defined]
        return step(trainer, *arguments)

    PackedTrainer.__init__ = beginning  # type: ignore[method-assign]
    PackedTrainer.training_step = stepping  # type: ignore[method-assign]


def test_no_process_copies_its_weights(tiny_model: Path, tmp_path: Path) -> None:
    """What a copy leaves behind in the allocator's hands was up to a third of its memory."""
    workspace(tmp_path, tiny_model, **TWO)
    ended = train(tmp_path, processes=2, prepare=[fail_where_weights_move] * 2)
    assert [each.exit_code for each in ended] == [0, 0], ended[0].log


@pytest.mark.parametrize("packing", [True, False], ids=["packed", "unpacked"])
def test_loss_curve_of_two_is_that_of_one(tiny_model: Path, tmp_path: Path, packing: bool) -> None:
    training: dict[str, Any] = {
        "training": {"maxSteps": 50, "packing": packing, "learningRate": 0.01}
    }
    curves = []
    for processes in (1, 2):
        root = tmp_path / str(processes)
        root.mkdir()
        workspace(root, tiny_model, **training, **(TWO if processes == 2 else {}))
        ended, *others = train(root, processes=processes)
        assert [other.exit_code for other in others] == [0] * (processes - 1)
        assert ended.trained.step == 50
        curves.append(curve(ended))
    one, two = curves
    assert len(one) == len(two) == 50
    assert one[-1] < one[0] - 0.1
    assert max(abs(a - b) for a, b in zip(one, two, strict=True)) <= 1e-4
    assert farthest(tmp_path / "1", tmp_path / "2") <= 1e-4


def test_killed_rank_costs_less_than_an_interval(
    tiny_model: Path, tmp_path: Path, undisturbed: Path
) -> None:
    workspace(tmp_path, tiny_model, **TWO)
    lost = partial(at_begin, 10, signal.SIGKILL)
    first, second = train(tmp_path, processes=2, prepare=[None, lost])
    assert second.exit_code == -signal.SIGKILL
    assert first.exit_code == ExitCode.PEER_LOST, first.log
    assert first.failure.reason == "PeerLost"
    resumed, _ = train(tmp_path, attempt=2, processes=2)
    assert "going on from step 8" in resumed.log
    assert farthest(tmp_path, undisturbed) <= 1e-6


def test_sigterm_to_one_saves_on_all_at_the_same_step(
    tiny_model: Path, tmp_path: Path, undisturbed: Path
) -> None:
    workspace(tmp_path, tiny_model, **TWO)
    ended = train(tmp_path, processes=2, prepare=[None, partial(at_begin, 6, signal.SIGTERM)])
    assert [one.exit_code for one in ended] == [ExitCode.PREEMPTED] * 2, ended[0].log
    assert {one.failure.step for one in ended} == {6}
    resumed, _ = train(tmp_path, attempt=2, processes=2)
    assert "going on from step 6" in resumed.log
    assert farthest(tmp_path, undisturbed) <= 1e-6


def test_checkpoint_of_two_goes_on_with_one(
    tiny_model: Path, tmp_path: Path, undisturbed: Path
) -> None:
    workspace(tmp_path, tiny_model, **TWO)
    train(tmp_path, processes=2, prepare=[partial(at_step, 6, signal.SIGTERM)])
    (tmp_path / "recipe.json").write_text(
        (tmp_path / "recipe.json").read_text().replace('"nodes":2', '"nodes":1')
    )
    (resumed,) = train(tmp_path, attempt=2)
    assert resumed.trained.step == 12
    assert farthest(tmp_path, undisturbed) <= 1e-5


def at_begin(step: int, number: signal.Signals) -> None:
    """In any process: receive the signal at the beginning of a step (counted from 1)."""
    original = PackedTrainer.training_step

    def training_step(self, model, inputs, num_items_in_batch=None):  # type: ignore[no-untyped-def]
        if inputs["step"] + 1 == step:
            kill_self(number)
        return original(self, model, inputs, num_items_in_batch)

    PackedTrainer.training_step = training_step  # type: ignore[method-assign]


DONE = """
import argparse, atexit, os
from pathlib import Path
from finetune_trainer.engine.worker import carry_out

atexit.register(os.abort)
carry_out(lambda *_: None, argparse.Namespace(recipe=Path("recipe.json"), workspace=Path()))
"""


def test_nothing_that_the_interpreter_does_in_the_end_undoes_what_is_done(tmp_path: Path) -> None:
    """Threads of libraries that come back to it have aborted a process then."""
    message = {MESSAGE_VARIABLE: str(tmp_path / "message.json")}
    command = [sys.executable, "-c", DONE]
    done = subprocess.run(command, env=os.environ | message, check=False, timeout=120)
    assert done.returncode == ExitCode.OK
