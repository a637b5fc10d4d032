"""Preference: replies that people prefer become likelier, the others less likely.

DPO compares the two replies of a pair. KTO takes each reply alone, and needs another one that has
nothing to do with the prompt: see objectives/.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from finetune_trainer.data.chat_template import ChatTemplate
from finetune_trainer.data.compared import ComparedExample
from finetune_trainer.data.examples import TokensExample
from finetune_trainer.data.formats import Record, Turn
from finetune_trainer.data.packing import RowLayout, rows
from finetune_trainer.errors import DataError
from finetune_trainer.manifest import Part
from finetune_trainer.recipe import PreferenceLoss, Recipe
from finetune_trainer.tasks.answer import PLAIN_TEMPLATE
from finetune_trainer.tasks.causal import CausalTask
from finetune_trainer.tasks.task import Encoder

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class PreferenceTask:
    """Each document is a prompt and a reply, in the model's own chat template."""

    example = ComparedExample
    lay_out: RowLayout = staticmethod(rows)

    def prepare(
        self,
        tokenizer: "PreTrainedTokenizerBase",
        recipe: Recipe,
        records: Iterable[Record],
    ) -> Encoder:
        if not tokenizer.chat_template:
            tokenizer.chat_template = PLAIN_TEMPLATE
        replies = Replies(ChatTemplate(tokenizer))
        if recipe.preference and recipe.preference.loss is PreferenceLoss.KTO:
            return JudgedEncoder(replies, _judged(records))
        return PairsEncoder(replies)

    def show(self, tokenizer: "PreTrainedTokenizerBase", example: ComparedExample) -> list[Part]:
        """Both documents, one after the other."""
        of_one = CausalTask().show
        return [part for document in example.documents for part in of_one(tokenizer, document)]


def _judged(records: Iterable[Record]) -> list[tuple[tuple[Turn, ...], tuple[Turn, ...]]]:
    """Prompts and replies to them.

    Raises:
        DataError: all are desirable, or none.
    """
    judged = [(record.turns, reply) for record in records for reply in record.replies]
    if len({reply.desirable for _, reply in judged}) == 1:
        raise DataError(
            "every reply of the training data has the same label, and KTO learns from the "
            "difference: give desirable and undesirable ones"
        )
    return [(prompt, reply.turns) for prompt, reply in judged]


@dataclass(frozen=True)
class Replies:
    """Documents of a prompt and one reply; only the reply is supervised."""

    template: ChatTemplate

    def document(self, prompt: Record, reply: Sequence[Turn]) -> TokensExample:
        """Raises DataError: see ChatTemplate.encode."""
        given = [replace(turn, learned=False) for turn in prompt.turns]
        return self.template.encode([*given, *reply], prompt.tools)


@dataclass(frozen=True)
class PairsEncoder:
    """A pair of replies makes one example."""

    replies: Replies
    settings: Mapping[str, object] = field(default_factory=dict)

    def __call__(self, record: Record) -> list[ComparedExample]:
        chosen, rejected = (self.replies.document(record, reply.turns) for reply in record.replies)
        return [ComparedExample((chosen, rejected), desirable=True)]


@dataclass(frozen=True)
class JudgedEncoder:
    """Each reply makes one example, a pair two; with it goes the reply to another prompt."""

    replies: Replies
    others: Sequence[tuple[tuple[Turn, ...], tuple[Turn, ...]]]
    """Prompts of the training data, and replies to them."""
    settings: Mapping[str, object] = field(default_factory=dict)

    def __call__(self, record: Record) -> list[ComparedExample]:
        return [
            ComparedExample(
                (
                    self.replies.document(record, reply.turns),
                    self.replies.document(record, self._other(record, reply.turns)),
                ),
                reply.desirable,
            )
            for reply in record.replies
        ]

    def _other(self, record: Record, reply: tuple[Turn, ...]) -> tuple[Turn, ...]:
        """Of another prompt, always the same for the same record.

        TRL takes the neighbour in a batch; so the batch would decide what has to be precomputed.
        """
        key = hashlib.sha256(repr((record.turns, reply)).encode()).digest()
        first = int.from_bytes(key[:8]) % len(self.others)
        for step in range(len(self.others)):
            prompt, other = self.others[(first + step) % len(self.others)]
            if prompt != record.turns and other != reply:
                return other
        raise DataError(
            "KTO compares with replies to other prompts, and the training data have none: "
            "give examples of at least two prompts"
        )
