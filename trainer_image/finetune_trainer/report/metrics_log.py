"""metrics.jsonl: what was measured at each step, over all attempts of a run.

A run that goes on from a checkpoint takes back what was measured after it, so that every step
stands here once, in order.
"""

import os
from pathlib import Path

from pydantic import ValidationError

from finetune_trainer.frozen import Frozen
from finetune_trainer.workspace import write_durably


class Point(Frozen):
    """What was known after a step; None is what was not measured there."""

    step: int
    attempt: int
    loss: float | None = None
    validation_loss: float | None = None
    learning_rate: float | None = None
    tokens_per_second: float | None = None
    """Of the steps since the point before."""


class MetricsLog:
    """Written by the leading process only."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def take_back(self, step: int) -> None:
        """Forget what came after the checkpoint of `step`; -1 forgets all. Held-out loss after the
        step itself is measured again, but for that of the base model."""
        kept = [
            point
            for point in self.read()
            if point.step < step
            or (point.step == step and (step == 0 or point.validation_loss is None))
        ]
        write_durably(self._path, "".join(_line(point) for point in kept).encode())

    def append(self, point: Point, *, durably: bool) -> None:
        """Before a checkpoint is written this has to be durable: afterwards it is not repeated."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(_line(point))
            if durably:
                file.flush()
                os.fsync(file.fileno())

    def read(self) -> list[Point]:
        """Every point up to the first line that a crash has torn."""
        points: list[Point] = []
        if not self._path.exists():
            return points
        for line in self._path.read_bytes().splitlines():
            try:
                points.append(Point.model_validate_json(line))
            except ValidationError:
                break
        return points


def _line(point: Point) -> str:
    return point.model_dump_json(exclude_none=True) + "\n"
