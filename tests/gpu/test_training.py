"""What the trainer does on processors, on a GPU."""

import itertools
import subprocess
from pathlib import Path
from statistics import mean
from typing import Any

import pytest
import torch

from finetune_trainer.recipe import Strategy
from finetune_trainer.report.metrics_log import MetricsLog
from finetune_trainer.workspace import Workspace
from tests.trainer import matrix
from tests.trainer.matrix import Cell, pairs
from tests.trainer.recipes import workspace
from tests.trainer.test_launch import command
from tests.trainer.tiny_models import write_model

GPU = {"device": "GPU", "gpusPerNode": 1}

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated")


@pytest.mark.parametrize("cell", pairs(), ids=str)
def test_what_is_not_refused_works(cell: Cell, tmp_path: Path, gpu: torch.device) -> None:
    matrix.check(cell, tmp_path, gpu)


@pytest.fixture(scope="session")
def on_processor(tmp_path_factory: pytest.TempPathFactory) -> dict[int, float]:
    root = tmp_path_factory.mktemp("processor")
    return losses(root, {"compute": {"device": "CPU", "gpusPerNode": 0}})


@pytest.mark.parametrize(
    ("strategy", "offload"),
    [
        *((strategy, "None") for strategy in Strategy),
        (Strategy.ZERO2, "Optimizer"),
        (Strategy.ZERO3, "Optimizer"),
        (Strategy.ZERO3, "OptimizerAndParameters"),
    ],
)
def test_losses_are_those_of_the_processor(
    strategy: Strategy, offload: str, on_processor: dict[int, float], tmp_path: Path
) -> None:
    distribution = {"strategy": strategy.value, "offload": offload}
    found = losses(tmp_path, {"compute": GPU, "distribution": distribution})
    # On a processor each step is told of; here the mean of those since the one before.
    spans = itertools.pairwise([0, *found])
    expected = [mean(on_processor[step + 1] for step in range(*span)) for span in spans]
    assert list(found.values()) == pytest.approx(expected, abs=1e-4)


def losses(root: Path, changes: dict[str, Any]) -> dict[int, float]:
    """Of the steps that an FP32 run tells of, as a container runs it."""
    base = write_model(root / "base", hidden_size=64, intermediate_size=128)
    workspace(root, base, **changes)
    # Not a forked one: CUDA does not come along.
    ended = subprocess.run(command(root), capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == 0, ended.stderr
    points = MetricsLog(Workspace(root).metrics).read()
    return {point.step: point.loss for point in points if point.loss is not None}
