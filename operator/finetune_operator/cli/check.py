"""`finetune check data.jsonl`: what the trainer will see of a data file."""

import argparse
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from finetune_operator.cli.refusals import say
from finetune_operator.cli.trainer import TrainerFailed, TrainerProcess, stopped_by_signals
from finetune_trainer.exit_codes import ExitCode
from finetune_trainer.manifest import Inspected, Part
from finetune_trainer.recipe import Columns, DatasetFormat, Task

EXAMPLE = "finetune check train.jsonl --model models/SmolLM2-135M-Instruct --task Chat"

_LEARNED, _GIVEN = "bold green", "dim"
_BAR_WIDTH = 40


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", type=Path, help="a .jsonl file, or a folder of such files")
    parser.add_argument("--model", type=Path, required=True, help="folder of the base model")
    parser.add_argument(
        "--task", type=Task, default=Task.CHAT, choices=list(Task), help="default: %(default)s"
    )
    parser.add_argument(
        "--format",
        type=DatasetFormat,
        default=DatasetFormat.AUTO,
        choices=list(DatasetFormat),
        help="layout of a line (default: %(default)s)",
    )
    parser.add_argument(
        "--column",
        type=_column,
        action="append",
        default=[],
        metavar="ROLE=KEY",
        help="a key of dataset.columns, for format Columns; may be repeated",
    )
    parser.add_argument(
        "--max-length", type=int, default=1024, help="training.maxLength (default: %(default)s)"
    )
    parser.add_argument(
        "--examples", type=int, default=3, help="how many to show whole (default: %(default)s)"
    )


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Let the trainer look, and show what it saw."""
    command = ["inspect", "--data", str(arguments.data.resolve())]
    command += ["--model", str(arguments.model.resolve())]
    command += ["--task", arguments.task.value, "--format", arguments.format.value]
    command += ["--max-length", str(arguments.max_length), "--examples", str(arguments.examples)]
    for column in arguments.column:
        command += ["--column", column]
    with tempfile.TemporaryDirectory(prefix="finetune-") as scratch:
        folder = Path(scratch)
        with console.status("reading and tokenizing"):
            process = TrainerProcess(command, log=folder / "log.txt", scratch=folder)
            with process, stopped_by_signals(process):
                try:
                    inspected = Inspected.model_validate_json(process.result())
                except TrainerFailed as failed:
                    say(console, failed.failure.reason, failed.failure.message, "bold red")
                    return failed.exit_code if failed.exit_code > 0 else 1
    _show(inspected, console)
    return ExitCode.OK


def _column(given: str) -> str:
    role, equals, key = given.partition("=")
    roles = [field.alias or name for name, field in Columns.model_fields.items()]
    if not (equals and key and role in roles):
        raise argparse.ArgumentTypeError(f"{given} is not ROLE=KEY: roles are {', '.join(roles)}")
    return given


def _show(inspected: Inspected, console: Console) -> None:
    for number, shown in enumerate(inspected.shown, start=1):
        console.print(Text(f"example {number}, {shown.tokens} tokens", "bold"))
        console.print(Text.assemble(*(_styled(part, console) for part in shown.parts)))
        console.print()
    legend = (
        Part(text="this is learned", learned=True),
        Part(text=", this is given", learned=False),
    )
    console.print(Text.assemble(*(_styled(part, console) for part in legend)))
    lengths = inspected.lengths
    table = Table("tokens", "examples", "", title="Lengths", title_justify="left")
    most = max(each.examples for each in inspected.histogram)
    for each in inspected.histogram:
        width = round(_BAR_WIDTH * each.examples / most)
        bar = "█" * max(width, 1 if each.examples else 0)
        table.add_row(f"up to {each.up_to}", str(each.examples), bar)
    console.print(table)
    console.print(
        f"{inspected.examples} examples of format {inspected.dataset_format}:"
        f" {inspected.tokens} tokens, {inspected.learned_tokens} learned\n"
        f"length: median {lengths.median}, 90 % up to {lengths.p90}, longest {lengths.maximum}"
    )
    for count, what in (
        (lengths.truncated, "longer than --max-length, cut at their end"),
        (lengths.dropped, "left out: nothing to learn within --max-length"),
        (inspected.duplicates, "the same as an earlier one"),
    ):
        if count:
            say(console, str(count), what)


def _styled(part: Part, console: Console) -> tuple[str, str]:
    """Between brackets where there are no colours, in a file for example."""
    if part.learned and console.color_system is None:
        return f"⟦{part.text}⟧", ""
    return part.text, _LEARNED if part.learned else _GIVEN
