"""How far a training is: a bar in a terminal; elsewhere, as in a log, a line now and then."""

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from finetune_operator.domain.progress import duration
from finetune_trainer import manifest
from finetune_trainer.manifest import Stage

LINE_SECONDS = 30.0
"""Between two lines of one stage, at least."""


class Shown:
    """Used as a context: the bar goes on until it ends."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console, self._clock = console, clock
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[more]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("starting", total=None, more="")
        self._last: tuple[str, float] = ("", 0.0)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def advance(self, posted: manifest.Progress) -> None:
        """Show what the trainer has said."""
        if posted.stage is not Stage.TRAINING:
            self.say(posted.stage.value.lower())
            return
        more = "  ".join(_parts(posted))
        self._bar.update(
            self._task,
            description="training",
            completed=posted.step,
            total=posted.total_steps,
            more=more,
        )
        self._line("training", more)

    def say(self, what: str) -> None:
        """A stage without steps."""
        self._bar.update(self._task, description=what, more="")
        self._line(what, "")

    def done(self, trained: manifest.Trained) -> None:
        """All steps that there are."""
        self._bar.update(
            self._task,
            description="done",
            completed=trained.step,
            total=trained.total_steps,
            more="",
        )
        self._line("done", f"{trained.step}/{trained.total_steps}")

    def _line(self, stage: str, more: str) -> None:
        now = self._clock()
        before, at = self._last
        if self._console.is_terminal or (stage == before and now - at < LINE_SECONDS):
            return
        self._last = (stage, now)
        self._console.print(f"{stage}  {more}".rstrip(), markup=False, soft_wrap=True)


def _parts(posted: manifest.Progress) -> list[str]:
    parts = [f"{posted.step}/{posted.total_steps}"]
    if posted.loss is not None:
        parts.append(f"loss {posted.loss:.4f}")
    if posted.tokens_per_second is not None:
        parts.append(f"{posted.tokens_per_second:.0f} tokens/s")
    if posted.remaining_seconds is not None:
        parts.append(f"{duration(posted.remaining_seconds)} left")
    return parts
