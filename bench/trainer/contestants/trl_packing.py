"""TRL's SFTTrainer with conversations packed into rows."""

from bench.trainer.contestants import trl_sft
from bench.trainer.measure import Measured
from bench.trainer.task import Assignment


def run(assignment: Assignment) -> Measured:
    return trl_sft.run(assignment, name="trl_packing", packed=True)
