"""The loop written by hand, two rungs lower: the logits of all supervised positions at once."""

from bench.trainer import task
from bench.trainer.contestants.loop import loss_of_supervised, train
from bench.trainer.measure import Measured


def run(assignment: task.Assignment) -> Measured:
    return train("supervised", assignment, loss_of_supervised)
