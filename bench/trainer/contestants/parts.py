"""The loop written by hand, a rung lower: glibc's allocator."""

from bench.trainer import task
from bench.trainer.contestants.loop import loss_in_parts, train
from bench.trainer.measure import Measured


def run(assignment: task.Assignment) -> Measured:
    return train("parts", assignment, loss_in_parts)
