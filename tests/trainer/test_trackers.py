"""TensorBoard and MLflow, by their usual settings."""

import functools
import os
from pathlib import Path

from finetune_trainer.report.metrics_log import MetricsLog
from tests.trainer.processes import train
from tests.trainer.recipes import workspace

STEPS = 3


def set_up(folder: Path) -> None:
    os.environ["TENSORBOARD_LOGGING_DIR"] = str(folder / "tensorboard")
    os.environ["MLFLOW_TRACKING_URI"] = (folder / "mlflow").as_uri()
    os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"


def test_both_are_told_the_losses_of_the_log(tiny_model: Path, tmp_path: Path) -> None:
    workspace(tmp_path, tiny_model, training={"maxSteps": STEPS, "warmupSteps": 1})
    (ended,) = train(tmp_path, prepare=[functools.partial(set_up, tmp_path)])
    assert ended.trained.step == STEPS
    losses = [point.loss for point in MetricsLog(tmp_path / "metrics.jsonl").read() if point.loss]
    (written,) = (tmp_path / "mlflow").glob("*/*/metrics/loss")
    told = [float(line.split()[1]) for line in written.read_text().splitlines()]
    assert told == losses
    assert len(losses) == STEPS
    assert scalars(tmp_path / "tensorboard", "train/loss") == [round(x, 4) for x in losses]


def scalars(folder: Path, tag: str) -> list[float]:
    from tensorboard.backend.event_processing.event_accumulator import (  # noqa: PLC0415 - slow
        EventAccumulator,
    )

    events = EventAccumulator(str(folder))
    events.Reload()
    return [round(event.value, 4) for event in events.Scalars(tag)]
