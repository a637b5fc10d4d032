"""Chat: conversations of any number of turns, in the model's own chat template."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from finetune_trainer.data.chat_template import ChatTemplate
from finetune_trainer.data.formats import Record
from finetune_trainer.recipe import Recipe
from finetune_trainer.tasks.causal import CausalEncoder, CausalTask

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class ChatTask(CausalTask):
    """One example per conversation; maxLength cuts later, so that the cut is counted."""

    def prepare(
        self,
        tokenizer: "PreTrainedTokenizerBase",
        recipe: Recipe,
        records: Iterable[Record],
    ) -> CausalEncoder:
        template = ChatTemplate(tokenizer)
        return CausalEncoder(lambda record: [template.encode(record.turns, record.tools)])
