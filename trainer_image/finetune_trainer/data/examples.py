"""Examples, and what they look like in numbers."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from finetune_trainer.manifest import Lengths

Tokens = NDArray[np.int64]
"""Token ids, shape (length,)."""


_BEGINNING = 32
"""Tokens of a text from which the model is asked to go on."""


class Example(Protocol):
    """What every task's examples have; the rest is the task's own."""

    @property
    def length(self) -> int:
        """Tokens."""

    @property
    def targets(self) -> int:
        """What the model is to say in it, counted; an example with nothing to learn is dropped."""

    @property
    def weight(self) -> float:
        """Its share in the denominator of the loss."""

    @property
    def content(self) -> bytes:
        """The same for examples that are the same."""

    def cut(self, length: int) -> Self:
        """What is left of it in so many tokens."""


@dataclass(frozen=True)
class TokensExample:
    """One document of tokens."""

    ids: Tokens
    supervised: NDArray[np.bool_]
    """Which tokens the model is to say, shape (length,); the loss is taken on these only."""

    @property
    def length(self) -> int:
        return len(self.ids)

    @property
    def targets(self) -> int:
        """Positions that enter the loss: the first token has nothing before it to predict from."""
        return int(self.supervised[1:].sum())

    @property
    def weight(self) -> float:
        return self.targets

    @property
    def content(self) -> bytes:
        return self.ids.tobytes()

    def cut(self, length: int) -> Self:
        """The first `length` tokens."""
        return replace(self, ids=self.ids[:length], supervised=self.supervised[:length])

    def asked(self) -> tuple[Tokens, Tokens]:
        """What the model is asked to go on from, and what it is to say then: its first answer, or
        the rest of a text of which everything is learned."""
        begin = int(np.argmax(self.supervised)) or min(_BEGINNING, len(self.ids) // 2)
        after = np.flatnonzero(~self.supervised[begin:])
        end = begin + int(after[0]) if len(after) else len(self.ids)
        return self.ids[:begin], self.ids[begin:end]


@dataclass(frozen=True)
class AnsweredExample(TokensExample):
    """A question and its answer."""

    answers: tuple[str, ...]
    """Every text that would be right."""


@dataclass(frozen=True)
class Examples:
    """Examples of at most maxLength tokens, and what became of the longer ones."""

    examples: Sequence[Example]
    lengths: Sequence[int]
    """Of each, in tokens."""
    weights: Sequence[float]
    """Of each."""
    sources: Sequence[int]
    """Which of dataset.train or dataset.validation each is from."""
    targets: int
    """Of all."""
    duplicates: int
    """Examples that are the same as one before."""
    lengths_before: Sequence[int]
    """Of all that were read, those left out included."""
    truncated: int
    dropped: int
    """Examples of which nothing supervised lies within maxLength."""

    def statistics(self) -> Lengths:
        ordered = sorted(self.lengths_before)
        return Lengths(
            median=_percentile(ordered, 50),
            p90=_percentile(ordered, 90),
            maximum=ordered[-1],
            truncated=self.truncated,
            dropped=self.dropped,
        )


def evenly(count: int, wanted: int) -> list[int]:
    """Indices of at most `wanted` of `count` things, from all over them."""
    chosen = min(count, wanted)
    return [index * count // chosen for index in range(chosen)]


def _percentile(ordered: Sequence[int], percent: int) -> int:
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]
