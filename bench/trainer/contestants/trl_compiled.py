"""TRL's SFTTrainer packed and compiled."""

from bench.trainer.contestants import trl_sft
from bench.trainer.measure import Measured
from bench.trainer.task import Assignment


def run(assignment: Assignment) -> Measured:
    return trl_sft.run(assignment, name="trl_compiled", packed=True, torch_compile=True)
