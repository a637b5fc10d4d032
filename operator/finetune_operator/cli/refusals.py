"""What stands in the way, by field, in the user's spelling."""

from collections.abc import Iterable
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

from finetune_operator.cli.columns import safe
from finetune_trainer.exit_codes import ExitCode


@dataclass(frozen=True)
class Refusal:
    """One thing that the user has to change."""

    field: str
    """Where it is written, for example spec.training.maxLength; empty when it is several."""
    message: str


class Refused(Exception):  # noqa: N818 - said of the manifest, as everywhere in the API
    """The manifest, or the command, cannot be carried out as it is written."""

    def __init__(
        self, refusals: Iterable[Refusal], code: ExitCode = ExitCode.CONFIGURATION_ERROR
    ) -> None:
        self.refusals = tuple(refusals)
        self.code = code
        super().__init__("; ".join(f"{each.field}: {each.message}" for each in self.refusals))


def refused(message: str, code: ExitCode = ExitCode.CONFIGURATION_ERROR) -> Refused:
    """One that is about no field of a manifest."""
    return Refused([Refusal("", message)], code)


def show_refusals(console: Console, refusals: Iterable[Refusal]) -> None:
    for each in refusals:
        field = f"{each.field}: " if each.field else ""
        say(console, "refused", f"{field}{each.message}", "bold red")


def say(console: Console, label: str, text: str, style: str = "yellow") -> None:
    """A line that begins with a coloured word; never broken, so that paths can be copied."""
    console.print(Text.assemble((label, style), "  ", safe(text)), soft_wrap=True)


def aside() -> Console:
    """For what must not get into a pipe that reads the output."""
    return Console(stderr=True, highlight=False)
