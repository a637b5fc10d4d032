"""TRL's SFTTrainer with the conversations of a batch end to end, instead of padded."""

from bench.trainer.contestants import trl_sft
from bench.trainer.measure import Measured
from bench.trainer.task import Assignment


def run(assignment: Assignment) -> Measured:
    # TRL wants no limit here; all conversations are short enough.
    return trl_sft.run(
        assignment, name="trl_padding_free", packed=False, padding_free=True, max_length=None
    )
