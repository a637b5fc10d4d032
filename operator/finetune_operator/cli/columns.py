"""Columns as kubectl prints them: as wide as what is in them, never cut, never broken."""

from collections.abc import Iterable, Iterator, Sequence

from rich.text import Text

_GAP = 3

Cell = str | Text


def columns(
    header: Sequence[str], rows: Iterable[Sequence[Cell]], *, indent: str = ""
) -> Iterator[Text]:
    """A line of the header, and one for each row."""
    table = [[Text(name, "bold") for name in header]]
    table += [[cell if isinstance(cell, Text) else Text(cell) for cell in row] for row in rows]
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
    width = max((len(name) for name, _ in given), default=0) + 1
    for name, value in given:
        yield Text.assemble((f"{name}:".ljust(width + _GAP - 1), "bold"), value)
