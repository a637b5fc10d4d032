"""Every strategy computes what one process computes, and goes on where any other stopped."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from finetune_trainer.recipe import Strategy
from finetune_trainer.workspace import Workspace
from tests.trainer import matrix, pair
from tests.trainer.pair import Pair
from tests.trainer.recipes import workspace

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated")

FIRST, LAST = 2, 6
"""Steps between which two processes go on with what one has begun."""
METHODS: dict[str, Any] = {
    "LoRA": {"type": "LoRA", "lora": {"rank": 4, "alpha": 8, "dropout": 0.0}},
    "DoRA": {"type": "DoRA", "lora": None, "dora": {"rank": 4, "alpha": 8, "dropout": 0.0}},
    "Full": {"type": "Full", "lora": None},
}
BETA = 0.9
"""Of AdamW's first moment."""


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    started = pair.start(tmp_path_factory.mktemp("pair"))
    yield started
    started.end()


@dataclass(frozen=True)
class Alone:
    """What one process did with each method, with a checkpoint of each step."""

    model: Path
    roots: dict[str, Path]


@pytest.fixture(scope="module")
def alone(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Alone:
    roots = {}
    for method in METHODS:
        roots[method] = tmp_path_factory.mktemp(method)
        one_process(roots[method], tiny_model, method)
    return Alone(tiny_model, roots)


def settings(method: str, processes: int, strategy: str = "DataParallel") -> dict[str, Any]:
    return {
        "method": METHODS[method],
        "training": {"maxSteps": LAST, "warmupSteps": 0, "learningRate": 3e-3},
        "compute": {"nodes": processes},
        "distribution": {"strategy": strategy},
        "dataset": {"validationFraction": 0.1},
        "checkpoint": {"intervalSteps": 1, "keep": LAST},
    }


def one_process(root: Path, model: Path, method: str, **changes: Any) -> None:
    made = workspace(root, model, **(settings(method, 1) | changes))
    matrix.train(made, Workspace(root), attempt=1)


def two_processes(root: Path, model: Path, two: Pair, method: str, strategy: str) -> None:
    workspace(root, model, **settings(method, 2, strategy))
    two.run(root)


def go_on_from(step: int, earlier: Path, root: Path) -> None:
    """Give a workspace the checkpoint of another, and what belongs to it."""
    name = f"step-{step:08d}"
    shutil.copytree(earlier / "checkpoints" / name, root / "checkpoints" / name)
    shutil.copy(earlier / "base-scores.json", root)


def curve(root: Path) -> dict[int, float]:
    points = map(json.loads, (root / "metrics.jsonl").read_text().splitlines())
    return {point["step"]: point["loss"] for point in points if point.get("loss") is not None}


def gradients(root: Path, step: int, before: Path) -> dict[str, torch.Tensor]:
    """Of one step, as the optimizer saw them, from its first moments after it and before it."""
    moments = [
        load_file(place / "checkpoints" / f"step-{at:08d}" / "optimizer-1.safetensors")
        for place, at in ((before, step - 1), (root, step))
    ]
    return {
        name: (moments[1][name].double() - BETA * moments[0][name].double()) / (1 - BETA)
        for name in moments[1]
        if name.endswith("/exp_avg")
    }


def farthest_apart(mine: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> float:
    """The largest relative L2 distance of a tensor."""
    assert mine.keys() == theirs.keys()
    return max(float((mine[name] - theirs[name]).norm() / theirs[name].norm()) for name in theirs)


def no_farther(mine: dict[int, float], theirs: dict[int, float], bound: float) -> None:
    assert mine
    assert max(abs(loss - theirs[step]) for step, loss in mine.items()) <= bound


@pytest.mark.parametrize("strategy", list(Strategy))
@pytest.mark.parametrize("method", list(METHODS))
def test_two_processes_go_on_as_one_and_one_as_two(
    alone: Alone, two: Pair, tmp_path: Path, method: str, strategy: Strategy
) -> None:
    before = alone.roots[method]
    both, after = tmp_path / "both", tmp_path / "after"
    both.mkdir()
    go_on_from(FIRST, before, both)
    two_processes(both, alone.model, two, method, strategy)
    theirs = gradients(before, FIRST + 1, before)
    assert farthest_apart(gradients(both, FIRST + 1, before), theirs) <= 1e-5
    assert set(curve(both)) == set(range(FIRST + 1, LAST + 1))
    no_farther(curve(both), curve(before), 1e-3)
    assert _saved(both) == _saved(before)

    after.mkdir()
    go_on_from(LAST - 2, both, after)
    one_process(after, alone.model, method)
    assert set(curve(after)) == {LAST - 1, LAST}
    no_farther(curve(after), curve(both), 1e-3)


def _saved(root: Path) -> dict[str, torch.Size]:
    """Names and shapes of what was published: never empty, never another's share."""
    (file,) = (root / "output").rglob("*.safetensors")
    return {name: value.shape for name, value in load_file(file).items()}


@pytest.mark.parametrize("method", list(METHODS))
def test_four_passes_make_the_gradients_of_one(alone: Alone, tmp_path: Path, method: str) -> None:
    before = alone.roots[method]
    go_on_from(FIRST, before, tmp_path)
    one_process(tmp_path, alone.model, method, compute={"microBatch": 4})
    theirs = gradients(before, FIRST + 1, before)
    assert farthest_apart(gradients(tmp_path, FIRST + 1, before), theirs) <= 1e-5
