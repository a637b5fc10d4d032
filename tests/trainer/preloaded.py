"""What a training imports, early or late: processes forked from one that has imported this begin
with all of it."""

import gc

from transformers.models.llama import modeling_llama

from finetune_trainer.engine import worker
from finetune_trainer.report import write

__all__ = ["freeze", "modeling_llama", "worker", "write"]


def freeze() -> None:
    """accelerate collects garbage after every training: 0.4 s while it looks through torch too."""
    gc.collect()
    gc.freeze()


freeze()
