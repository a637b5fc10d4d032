"""Completion: plain text, every token learned, its end too."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from finetune_trainer.data.examples import Example
from finetune_trainer.data.formats import Record
from finetune_trainer.errors import ConfigurationError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def encoder(
    tokenizer: "PreTrainedTokenizerBase", max_length: int
) -> Callable[[Record], list[Example]]:
    """Windows of at most max_length tokens, end to end, so that no text is lost."""
    end = tokenizer.eos_token_id
    if end is None:
        raise ConfigurationError(
            "the model's tokenizer names no end token (eos_token), so the tuned model would never "
            "stop: choose a model whose tokenizer_config.json has one"
        )

    def encode(record: Record) -> list[Example]:
        ids = tokenizer(record.text)["input_ids"]
        if ids[-1] != end:
            ids.append(end)
        tokens = np.array(ids)
        windows = [tokens[at : at + max_length] for at in range(0, len(tokens), max_length)]
        return [Example(window, np.ones(len(window), dtype=np.bool_)) for window in windows]

    return encode
