"""What a training imports, early or late: processes forked from one that has imported this begin
with all of it, and need not look through it for garbage."""

import gc

from transformers.models.llama import modeling_llama

from finetune_trainer.engine import worker
from finetune_trainer.report import write

__all__ = ["modeling_llama", "worker", "write"]

gc.collect()
gc.freeze()
