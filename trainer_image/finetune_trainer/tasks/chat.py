"""Chat: conversations of any number of turns, in the model's own chat template."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from finetune_trainer.data.chat_template import ChatTemplate
from finetune_trainer.data.examples import Example
from finetune_trainer.data.formats import Record

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def encoder(
    tokenizer: "PreTrainedTokenizerBase", max_length: int
) -> Callable[[Record], list[Example]]:
    """One example per conversation; max_length cuts later, so that the cut is counted."""
    template = ChatTemplate(tokenizer)
    return lambda record: [template.encode(record.turns, record.tools)]
