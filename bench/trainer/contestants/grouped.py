"""The guide's training, with batches of conversations of like length."""

from bench.trainer.contestants import guide
from bench.trainer.measure import Measured
from bench.trainer.task import Assignment


def run(assignment: Assignment) -> Measured:
    return guide.run(assignment, name="grouped", train_sampling_strategy="group_by_length")
