"""Tokens turned into text while they come, never taking a piece back."""

from collections.abc import Sequence
from typing import Protocol

_UNFINISHED = "\ufffd"
"""What a tokenizer makes of the first bytes of a character whose others are still to come."""


class Decoder(Protocol):
    """The part of a tokenizer that is needed here."""

    def decode(self, token_ids: Sequence[int], *, skip_special_tokens: bool) -> str: ...


class TextStream:
    """Text so far, cut before the first stop string; `finished` says that no more is wanted."""

    def __init__(self, decoder: Decoder, stop: Sequence[str]) -> None:
        self._decoder = decoder
        self._stop = [text for text in stop if text]
        self._tokens: list[int] = []
        self._given = 0
        self.finished = False

    def push(self, token: int) -> str:
        """Add one token; returns the text that is certain now and was not given yet."""
        self._tokens.append(token)
        text = self._text()
        found = [at for at in (text.find(stop) for stop in self._stop) if at >= 0]
        if found:
            self.finished = True
            return self._give(text[: min(found)])
        certain = text.rstrip(_UNFINISHED)
        return self._give(certain[: len(certain) - self._held_back(certain)])

    def flush(self) -> str:
        """What was held back, when no more tokens come."""
        return "" if self.finished else self._give(self._text())

    def _text(self) -> str:
        return self._decoder.decode(self._tokens, skip_special_tokens=True)

    def _give(self, text: str) -> str:
        new = text[self._given :]
        self._given = max(self._given, len(text))
        return new

    def _held_back(self, text: str) -> int:
        """Characters at the end of `text` that may be the beginning of a stop string."""
        lengths = (
            length
            for stop in self._stop
            for length in range(min(len(stop) - 1, len(text)), 0, -1)
            if text.endswith(stop[:length])
        )
        return max(lengths, default=0)
