"""What a model should still know after learning something else: a fixed set of common texts.

Tuning on a narrow task moves weights that other abilities share. How likely the tuned model finds
plain English, everyday facts, sums and code, beside the base model, tells how much of them is lost.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from finetune_trainer.data.examples import TokensExample

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_TEXTS = Path(__file__).with_name("general.txt")


def general_texts() -> list[str]:
    """Written for this purpose; paragraphs of the file, always the same."""
    return _TEXTS.read_text(encoding="utf-8").strip().split("\n\n")


def general_examples(tokenizer: "PreTrainedTokenizerBase", max_length: int) -> list[TokensExample]:
    """Every token is scored, but for the first; texts longer than `max_length` are cut."""
    examples = []
    for text in general_texts():
        ids = np.array(tokenizer(text)["input_ids"])
        examples.append(TokensExample(ids, np.ones(len(ids), dtype=np.bool_)).cut(max_length))
    return examples
