"""What the demo shows: stages with their times, and one line that moves."""

from __future__ import annotations

import shutil
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager

PLAIN_EVERY_SECONDS = 10
"""Without a terminal a moving line becomes a plain one when it is new, this often at most."""

PLAIN_WIDTH = 160


def clock(seconds: float) -> str:
    """Minutes and seconds."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


class Terminal:
    """Writes to standard output; moves its last line only where that is a terminal."""

    def __init__(self) -> None:
        self.moves = sys.stdout.isatty()
        self.times: list[tuple[str, float]] = []
        self._shown = ""
        self._shown_at = 0.0

    @contextmanager
    def stage(self, name: str, what: str) -> Iterator[None]:
        """Announces a stage and, when it is over, remembers how long it took."""
        self.say(f"\n[{len(self.times) + 1}] {name}: {what}")
        started = time.monotonic()
        yield
        self.times.append((name, time.monotonic() - started))
        self.say(f"    done in {clock(self.times[-1][1])}")

    def say(self, text: str) -> None:
        """A line that stays."""
        self._clear()
        print(text, flush=True)

    def live(self, seconds: float, text: str) -> None:
        """A line that the next one replaces, after so many seconds of waiting."""
        line = f"    {clock(seconds)}  {text}"
        if self.moves:
            self._clear()
            self._shown = line[: shutil.get_terminal_size().columns - 1]
            print(self._shown, end="", flush=True)
        elif text != self._shown and time.monotonic() - self._shown_at >= PLAIN_EVERY_SECONDS:
            self._shown, self._shown_at = text, time.monotonic()
            print(line[:PLAIN_WIDTH], flush=True)

    def beside(self, left: str, right: str) -> None:
        """Two texts in columns, so that they can be compared."""
        width = max(20, min(60, (shutil.get_terminal_size().columns - 7) // 2))
        columns = [textwrap.wrap(text, width) or [""] for text in (left, right)]
        height = max(map(len, columns))
        for one, other in zip(
            *(column + [""] * (height - len(column)) for column in columns), strict=True
        ):
            self.say(f"    {one:<{width}} │ {other}")

    def _clear(self) -> None:
        if self.moves and self._shown:
            print("\r" + " " * len(self._shown) + "\r", end="")
            self._shown = ""
