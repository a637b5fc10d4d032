"""What reading data asks of a task."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from finetune_trainer.data.examples import Example
from finetune_trainer.data.formats import Record
from finetune_trainer.recipe import Recipe

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class Encoder(Protocol):
    """From a record to its examples."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes, in the order of the head's outputs; empty where the head has none."""

    def __call__(self, record: Record) -> Sequence[Example]:
        """Raises DataError about the record, without its place."""


class Task(Protocol):
    """Its examples are its own: only its objective reads them."""

    def prepare(
        self,
        tokenizer: "PreTrainedTokenizerBase",
        recipe: Recipe,
        records: Sequence[Record],
    ) -> Encoder:
        """May complete the tokenizer, which is published with the result.

        Args:
            tokenizer: of the base model.
            recipe: says how long an example may be.
            records: those to learn from, which tell the labels.

        Raises:
            ConfigurationError: the tokenizer is not fit for the task.
            DataError: the records are not, taken together.
        """
