"""What reading data asks of a task."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from finetune_trainer.data.examples import Example
from finetune_trainer.data.formats import Record
from finetune_trainer.data.packing import RowLayout
from finetune_trainer.manifest import Part
from finetune_trainer.recipe import Recipe

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class Encoder(Protocol):
    """From a record to its examples."""

    @property
    def settings(self) -> Mapping[str, object]:
        """Of the model's configuration: its classes, for example. They are published with it."""

    def __call__(self, record: Record) -> Sequence[Example]:
        """Raises DataError about the record, without its place."""


class Task(Protocol):
    """Its examples are its own: only it and its objective read them."""

    lay_out: RowLayout
    """Which examples its objective computes together."""

    @property
    def example(self) -> type[Example]:
        """The class of its examples."""

    def prepare(
        self,
        tokenizer: "PreTrainedTokenizerBase",
        recipe: Recipe,
        records: Iterable[Record],
    ) -> Encoder:
        """May complete the tokenizer, which is published with the result.

        Args:
            tokenizer: of the base model.
            recipe: says how long an example may be.
            records: those to learn from, which tell the labels; as often as they are asked for.

        Raises:
            ConfigurationError: the tokenizer is not fit for the task.
            DataError: the records are not, taken together.
        """

    def show(self, tokenizer: "PreTrainedTokenizerBase", example: Any) -> list[Part]:
        """An example for people: what is given, and what is learned."""
