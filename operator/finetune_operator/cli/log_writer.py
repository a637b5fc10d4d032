"""Writes lines of logs as they are, each after the name of whose it is."""

from rich.console import Console
from rich.text import Text

from finetune_operator.cli.log_sources import Source

_STYLES = ("cyan", "green", "magenta", "yellow", "blue")
"""Of ranks, again from the first after the last."""


class LogWriter:
    """Colours nothing but the names, and these only in a terminal."""

    def __init__(self, console: Console, *, prefixes: bool) -> None:
        self._console = console
        self._prefixes = prefixes
        self._made: dict[Source, str] = {}

    def write(self, source: Source, line: str) -> None:
        """
        Raises:
            BrokenPipeError: nobody reads any more.
        """
        self._console.file.write(f"{self._prefix(source)}{line}\n")
        self._console.file.flush()

    def _prefix(self, source: Source) -> str:
        if not self._prefixes:
            return ""
        if source not in self._made:
            style = _STYLES[source.rank % len(_STYLES)]
            with self._console.capture() as made:
                self._console.print(Text(source.prefix, style), end="  ", soft_wrap=True)
            self._made[source] = made.get()
        return self._made[source]
