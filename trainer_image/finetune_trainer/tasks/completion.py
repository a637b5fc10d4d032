"""Completion: plain text, every token learned, its end too."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from finetune_trainer.data.examples import TokensExample
from finetune_trainer.data.formats import Record
from finetune_trainer.errors import ConfigurationError
from finetune_trainer.recipe import Recipe
from finetune_trainer.tasks.causal import CausalEncoder, CausalTask

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class CompletionTask(CausalTask):
    """Windows of at most maxLength tokens, end to end, so that no text is lost."""

    def prepare(
        self,
        tokenizer: "PreTrainedTokenizerBase",
        recipe: Recipe,
        records: Iterable[Record],
    ) -> CausalEncoder:
        return _windows(tokenizer, recipe.training.max_length)


def _windows(tokenizer: "PreTrainedTokenizerBase", max_length: int) -> CausalEncoder:
    end = tokenizer.eos_token_id
    if end is None:
        raise ConfigurationError(
            "the model's tokenizer names no end token (eos_token), so the tuned model would never "
            "stop: choose a model whose tokenizer_config.json has one"
        )

    def encode(record: Record) -> list[TokensExample]:
        ids = tokenizer(record.text)["input_ids"]
        if ids[-1] != end:
            ids.append(end)
        tokens = np.array(ids)
        windows = [tokens[at : at + max_length] for at in range(0, len(tokens), max_length)]
        return [TokensExample(window, np.ones(len(window), dtype=np.bool_)) for window in windows]

    return CausalEncoder(encode)
