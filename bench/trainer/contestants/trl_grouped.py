"""TRL's SFTTrainer grouped by length."""

from bench.trainer.contestants import trl_sft
from bench.trainer.measure import Measured
from bench.trainer.task import Assignment


def run(assignment: Assignment) -> Measured:
    return trl_sft.run(
        assignment, name="trl_grouped", packed=False, train_sampling_strategy="group_by_length"
    )
