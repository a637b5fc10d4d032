"""Columns as kubectl prints them: as wide as what is in them, never cut, never broken.

What is printed was written by others, some of it by code that a user trains with: it reaches the
terminal as characters, never as commands to it.
"""

import re
from collections.abc import Iterable, Iterator, Sequence

from rich.text import Text

_GAP = 3
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")

Cell = str | Text


def columns(
    header: Sequence[str], rows: Iterable[Sequence[Cell]], *, indent: str = ""
) -> Iterator[Text]:
    """A line of the header, and one for each row; nothing at all without rows."""
    table = [[_line(cell) for cell in row] for row in rows]
    if not table:
        return
    table.insert(0, [Text(name, "bold") for name in header])
    widths = [max(row[at].cell_len for row in table) for at in range(len(header))]
    for row in table:
        line = Text(indent)
        for cell, width in zip(row, widths, strict=True):
            line.append_text(cell)
            line.append(" " * (width - cell.cell_len + _GAP))
        line.rstrip()
        yield line


def named(pairs: Iterable[tuple[str, Cell]]) -> Iterator[Text]:
    """A line of each pair, the values below each other; what is empty is left out."""
    given = [(name, value) for name, value in pairs if value]
    width = max((len(name) for name, _ in given), default=0) + _GAP
    for name, value in given:
        first, *more = safe(value).split(allow_blank=True)
        yield Text.assemble((f"{name}:".ljust(width), "bold"), first)
        for line in more:
            yield Text.assemble(" " * width, line)


def safe(cell: Cell) -> Text:
    """Without the control characters, but for the ends of lines."""
    text = cell if isinstance(cell, Text) else Text(cell)
    if not _CONTROL.search(text.plain):
        return text
    return Text(_CONTROL.sub("�", text.plain), text.style)


def _line(cell: Cell) -> Text:
    """Of several lines one, for a table."""
    text = safe(cell)
    return Text(" ".join(text.plain.split()), text.style) if "\n" in text.plain else text
