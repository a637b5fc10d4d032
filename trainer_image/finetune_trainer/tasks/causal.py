"""What all tasks share that teach a model to go on with a text."""

from collections.abc import Callable
from dataclasses import dataclass

from finetune_trainer.data.examples import TokensExample
from finetune_trainer.data.formats import Record


@dataclass(frozen=True)
class CausalEncoder:
    """An encoder without labels."""

    encode: Callable[[Record], list[TokensExample]]
    labels: tuple[str, ...] = ()

    def __call__(self, record: Record) -> list[TokensExample]:
        return self.encode(record)
