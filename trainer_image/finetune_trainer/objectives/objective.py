"""What the engine asks of an objective."""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any, Protocol, Self, runtime_checkable

import torch

from finetune_trainer.engine.world import World
from finetune_trainer.metrics import Rows
from finetune_trainer.recipe import Metric
from finetune_trainer.report.answers import Answer

if TYPE_CHECKING:
    from finetune_trainer.evaluate import Judge


class Row(Protocol):
    """What one forward and backward pass computes on."""

    def to(self, device: torch.device) -> Self:
        """The same on a device."""


class Objective(Protocol):
    """Reads the examples that its tasks make; its rows are its own."""

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

    def answers(
        self, model: torch.nn.Module, examples: Sequence[Any], judge: "Judge"
    ) -> list[Answer]:
        """What the model says of some of the examples, for people to read, on every process;
        nothing where it makes no text."""


@runtime_checkable
class StepObjective(Protocol):
    """An objective of which the loss of a row depends on the other rows of its step."""

    def before_step(
        self, model: torch.nn.Module, rows: Sequence[Any], world: World
    ) -> Sequence[Any]:
        """This process's rows of a step, knowing what they need of all of them."""


@runtime_checkable
class ReferencedObjective(Protocol):
    """An objective that compares a model with the one that training starts from."""

    def log_probabilities(
        self, model: torch.nn.Module, examples: Sequence[Any], judge: "Judge"
    ) -> Rows:
        """What the model says of each example, shape (examples, 2), on every process."""

    def with_references(self, examples: Sequence[Any], found: Rows) -> Sequence[Any]:
        """The examples, knowing what the model at the start says of them."""
