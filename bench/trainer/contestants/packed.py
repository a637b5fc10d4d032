"""The loop written by hand, two rungs lower: every position reaches the language-model head."""

from bench.trainer import task
from bench.trainer.contestants.loop import train
from bench.trainer.measure import Measured


def run(assignment: task.Assignment) -> Measured:
    return train("packed", assignment, supervised_only=False)
