"""The loop written by hand, a rung lower: glibc's allocator."""

from bench.trainer import task
from bench.trainer.contestants.loop import train
from bench.trainer.measure import Measured


def run(assignment: task.Assignment) -> Measured:
    return train("supervised", assignment, supervised_only=True)
