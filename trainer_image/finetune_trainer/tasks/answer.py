"""What tasks share that teach one answer to one question; they work for base models too.

A tokenizer without a chat template is given a plain one. It is published with the result, so that
whatever serves the model asks in the form that was learned.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from finetune_trainer.data.chat_template import ChatTemplate
from finetune_trainer.data.examples import AnsweredExample, TokensExample
from finetune_trainer.data.formats import Record, Role, Turn
from finetune_trainer.errors import DataError
from finetune_trainer.recipe import Recipe
from finetune_trainer.tasks.causal import CausalEncoder, CausalTask

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PLAIN_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}"
    "{{ '### Answer\n' + message['content'] + eos_token + '\n' }}"
    "{% else %}"
    "{{ '### ' + ('Context' if message['role'] == 'system' else 'Instruction') + '\n' "
    "+ message['content'] + '\n\n' }}"
    "{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '### Answer\n' }}{% endif %}"
)


class AnswerTask(CausalTask, ABC):
    """One example per question and answer."""

    example = AnsweredExample

    def prepare(
        self,
        tokenizer: "PreTrainedTokenizerBase",
        recipe: Recipe,
        records: Iterable[Record],
    ) -> CausalEncoder:
        if not tokenizer.chat_template:
            tokenizer.chat_template = PLAIN_TEMPLATE
        template = ChatTemplate(tokenizer)

        def encode(record: Record) -> list[TokensExample]:
            tokens = template.encode(self.turns(record, recipe), record.tools)
            return [AnsweredExample(tokens.ids, tokens.supervised, self.right(record))]

        return CausalEncoder(encode)

    def right(self, record: Record) -> tuple[str, ...]:
        """Every answer that would be right, the one to learn first."""
        return (record.turns[-1].content,)

    @abstractmethod
    def turns(self, record: Record, recipe: Recipe) -> Sequence[Turn]:
        """A question and its answer; a system message may come before them.

        Raises:
            DataError: the record is something else.
        """


def one_question(record: Record, task: str) -> Sequence[Turn]:
    """The turns of a conversation that is one question and one answer.

    Raises:
        DataError: it is another one.
    """
    roles = [turn.role for turn in record.turns if turn.role is not Role.SYSTEM]
    if roles != [Role.USER, Role.ASSISTANT]:
        raise DataError(
            f"task {task} wants one question and one answer, not {', '.join(roles)}: "
            "set task: Chat for longer conversations"
        )
    return record.turns


def several(given: str | tuple[str, ...]) -> tuple[str, ...]:
    """One text, or each of several."""
    return (given,) if isinstance(given, str) else given
