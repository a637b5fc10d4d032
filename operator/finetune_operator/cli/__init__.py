"""`finetune`: the same manifest with no cluster at all. A table of commands, a file each.

A command's module offers `EXAMPLE`, `add_arguments(parser)` and `run(arguments, console)`, which
returns the exit code. What needs torch runs as `python -m finetune_trainer …`, in processes of
its own.
"""

import argparse
import importlib
import sys
from collections.abc import Sequence

from rich.console import Console

from finetune_operator.cli.refusals import Refused, show_refusals
from finetune_trainer.exit_codes import ExitCode

COMMANDS = {
    "run": ("finetune_operator.cli.run", "carry out a FineTuneJob on this machine"),
    "plan": ("finetune_operator.cli.plan", "say what a FineTuneJob would do, and every refusal"),
    "check": ("finetune_operator.cli.check", "show what the trainer will see of a data file"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit codes are the trainer's (docs/exit-codes.md)."""
    parser = argparse.ArgumentParser("finetune", description="Fine-tune on this machine.")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, (module_name, text) in COMMANDS.items():
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
    arguments = parser.parse_args(argv)
    console = Console(highlight=False)
    try:
        code: int = arguments.run(arguments, console)
    except Refused as refused:
        show_refusals(Console(stderr=True, highlight=False), refused.refusals)
        code = ExitCode.CONFIGURATION_ERROR
    return code


def entry_point() -> None:
    """`finetune` of the installed distribution."""
    sys.exit(main())
