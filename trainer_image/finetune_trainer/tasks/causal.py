"""What all tasks share that teach a model to go on with a text."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING

from finetune_trainer.data.examples import Example, TokensExample
from finetune_trainer.data.formats import Record
from finetune_trainer.data.packing import RowLayout, rows
from finetune_trainer.manifest import Part

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class CausalEncoder:
    """The head is the model's own, so that nothing of it needs to be set."""

    encode: Callable[[Record], list[TokensExample]]
    settings: Mapping[str, object] = field(default_factory=dict)

    def __call__(self, record: Record) -> list[TokensExample]:
        return self.encode(record)


class CausalTask:
    """Documents of tokens, several in a row, each attending only to itself. The base of such
    tasks, which add `prepare`."""

    example: type[Example] = TokensExample
    lay_out: RowLayout = staticmethod(rows)

    def show(self, tokenizer: "PreTrainedTokenizerBase", example: TokensExample) -> list[Part]:
        """Runs of tokens that are learned, or that are not."""
        pairs = zip(example.ids.tolist(), example.supervised.tolist(), strict=True)
        return [
            Part(text=str(tokenizer.decode([token for token, _ in run])), learned=learned)
            for learned, run in groupby(pairs, lambda pair: bool(pair[1]))
        ]
