"""Bytes that an optimizer keeps of what is trained.

Sources. Adafactor: Shazeer and Stern, 2018, section 3, without the first moment. 8-bit: Dettmers et
al., "8-bit Optimizers via Block-wise Quantization", 2022, section 2, as bitsandbytes 0.50 does it.
"""

import math
from collections.abc import Iterable

from finetune_trainer.memory.trained import Tensors
from finetune_trainer.recipe import Optimizer

BLOCK = 256
"""Numbers of eight bits that share an FP32 scale."""

LEAST_IN_8_BITS = 4096
"""A smaller tensor keeps 32 bits, as embeddings of any size do."""


def optimizer_bytes(optimizer: Optimizer, trained: Iterable[Tensors]) -> int:
    """Of all tensors together, on one process that shares them with no other."""
    return sum(each.number * _bytes(optimizer, each) for each in trained)


def _bytes(optimizer: Optimizer, each: Tensors) -> int:
    match optimizer:
        case Optimizer.ADAMW_8BIT if each.size >= LEAST_IN_8_BITS and not each.embedding:
            return 2 * (each.size + 4 * math.ceil(each.size / BLOCK))
        case Optimizer.ADAMW | Optimizer.ADAMW_8BIT:
            return 2 * 4 * each.size
        case Optimizer.ADAFACTOR:
            return 4 * (each.rows + each.columns)
