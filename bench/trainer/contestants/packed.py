"""The loop written by hand, three rungs lower: every position reaches the language-model head."""

from bench.trainer import task
from bench.trainer.contestants.loop import loss_of_all, train
from bench.trainer.measure import Measured


def run(assignment: task.Assignment) -> Measured:
    return train("packed", assignment, loss_of_all)
