"""Texts as models with a head of their own read them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class EncodedText:
    """One text, or two, with the special tokens that the tokenizer puts around."""

    ids: NDArray[np.int64]
    """Token ids, shape (length,)."""
    segments: NDArray[np.int64] | None
    """0 for the first text, 1 for the second; None where the model knows no such thing."""
    closing: int
    """Special tokens at the end, which stay there when the text is cut."""
    pad: int
    """Id of the token that fills up a batch."""

    @property
    def length(self) -> int:
        return len(self.ids)

    @property
    def content(self) -> bytes:
        return self.ids.tobytes()

    def kept(self, length: int) -> NDArray[np.int64]:
        """Positions that are left in so many tokens."""
        if length >= self.length:
            return np.arange(self.length)
        end = min(self.closing, length)
        where: NDArray[np.int64] = np.r_[: length - end, self.length - end : self.length]
        return where

    def cut(self, length: int) -> Self:
        """Its beginning, closed as before."""
        where = self.kept(length)
        segments = None if self.segments is None else self.segments[where]
        return replace(self, ids=self.ids[where], segments=segments)


def filled(rows: Sequence[NDArray[Any]], filler: int) -> NDArray[Any]:
    """(rows, longest), the shorter ones filled up at their end."""
    longest = max(len(row) for row in rows)
    made = np.full((len(rows), longest), filler, dtype=rows[0].dtype)
    for index, row in enumerate(rows):
        made[index, : len(row)] = row
    return made
