"""`finetune`, which is also `kubectl finetune`: the same manifest with no cluster at all, and the
jobs of a cluster for a person. A table of commands, a file each.

A command's module offers `EXAMPLE`, `add_arguments(parser)` and `run(arguments, console)`, which
returns the exit code. What needs torch runs as `python -m finetune_trainer …`, in processes of
its own.
"""

import argparse
import importlib
import os
import sys
from collections.abc import Collection, Sequence
from pathlib import Path

import argcomplete
from rich.console import Console

from finetune_operator.cli.refusals import Refused, aside, show_refusals

COMMANDS = {
    "run": ("finetune_operator.cli.run", "carry out a FineTuneJob on this machine"),
    "plan": (
        "finetune_operator.cli.plan",
        "say what a FineTuneJob would do, and every refusal; or what one in the cluster does",
    ),
    "check": ("finetune_operator.cli.check", "show what the trainer will see of a data file"),
    "list": ("finetune_operator.cli.list_jobs", "list the FineTuneJobs of the cluster"),
    "describe": (
        "finetune_operator.cli.describe",
        "say what a job does, why it waits and what to do about it",
    ),
    "logs": ("finetune_operator.cli.logs", "print the logs of a job, over all attempts and ranks"),
    "top": ("finetune_operator.cli.top", "watch how far the jobs are, and what runs on which node"),
    "stop": ("finetune_operator.cli.stop", "save a checkpoint and give the nodes back"),
    "resume": ("finetune_operator.cli.resume", "go on with a job that was stopped"),
    "completion": (
        "finetune_operator.cli.completion",
        "print what makes a shell complete all this",
    ),
}
INTERRUPTED = 130
"""Exit code after Ctrl-C, as a shell has it."""


def main(argv: Sequence[str] | None = None, program: str = "finetune") -> int:
    """Run one command; the exit codes are the trainer's (docs/exit-codes.md)."""
    words = sys.argv[1:] if argv is None else argv
    parser = parser_of(program, [*words, *os.environ.get("COMP_LINE", "").split()])
    argcomplete.autocomplete(parser, always_complete_options="long")  # ends here if a shell asks
    arguments = parser.parse_args(words)
    try:
        code: int = arguments.run(arguments, Console(highlight=False))
    except Refused as refused:
        show_refusals(aside(), refused.refusals)
        code = refused.code
    except KeyboardInterrupt:
        code = INTERRUPTED
    return code


def parser_of(program: str, words: Collection[str]) -> argparse.ArgumentParser:
    """Of a command that is not among the words it knows the name only: its module may take a
    second to load."""
    parser = argparse.ArgumentParser(
        program, description="Fine-tune on this machine, or look after the jobs of a cluster."
    )
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, (module_name, text) in COMMANDS.items():
        if name not in words:
            subparsers.add_parser(name, help=text)
            continue
        module = importlib.import_module(module_name)
        subparser = subparsers.add_parser(
            name,
            help=text,
            description=f"{text[0].upper()}{text[1:]}.",
            epilog=f"example:\n  {module.EXAMPLE}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(subparser)
        subparser.set_defaults(run=module.run)
    return parser


def entry_point() -> None:
    """`finetune` and `kubectl-finetune` of the installed distribution."""
    as_plugin = Path(sys.argv[0]).name == "kubectl-finetune"
    sys.exit(main(program="kubectl finetune" if as_plugin else "finetune"))
