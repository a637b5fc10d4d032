"""What the engine asks of a task."""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any, Protocol, Self

import torch

from finetune_trainer.data.examples import Example
from finetune_trainer.data.formats import Record
from finetune_trainer.metrics import Rows
from finetune_trainer.recipe import Metric, Recipe

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from finetune_trainer.evaluate import Judge


class Encoder(Protocol):
    """From a record to its examples."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes, in the order of the head's outputs; empty where the head has none."""

    def __call__(self, record: Record) -> Sequence[Example]:
        """Raises DataError about the record, without its place."""


class Row(Protocol):
    """What one forward and backward pass computes on."""

    def to(self, device: torch.device) -> Self:
        """The same on a device."""


class Task(Protocol):
    """Examples and rows are the task's own: only it makes and reads them."""

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

    def make_row(self, examples: Sequence[Any]) -> Row:
        """Put examples into one row. Without examples: a row of which the loss is 0, because a
        process whose share of a step is empty still takes part in its gradient exchange."""

    def summed_loss(self, model: torch.nn.Module, row: Any) -> torch.Tensor:
        """FP32; divided by the sum of the examples' weights it is the loss."""

    def measure(
        self,
        model: torch.nn.Module,
        examples: Sequence[Any],
        metrics: Collection[Metric],
        judge: "Judge",
    ) -> dict[Metric, Rows]:
        """What metrics.py needs of each example: for Loss always, for others when wanted."""
