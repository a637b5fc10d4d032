"""`finetune completion`: what makes a shell complete commands, options and names of jobs.

kubectl completes its plugins by another way: it runs `kubectl_complete-finetune`, which is
`for_kubectl` here, with the words after `kubectl finetune`.
"""

import argparse
import os
import shlex
import sys

import argcomplete
from argcomplete.shell_integration import shellcode
from rich.console import Console

from finetune_operator import cli
from finetune_trainer.exit_codes import ExitCode

EXAMPLE = 'eval "$(kubectl finetune completion bash)"'

PROGRAMS = ["finetune", "kubectl-finetune"]
NO_FILES = ":4"
"""Of cobra, whose manner kubectl's is: these are all, do not go on with names of files."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=["bash", "zsh", "fish"])


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Print the script that the shell is to read."""
    console.file.write(shellcode(PROGRAMS, shell=arguments.shell) + "\n")
    return ExitCode.OK


def for_kubectl() -> None:
    """Print a completion with its description on each line, as kubectl reads them."""
    line = shlex.join(["finetune", *sys.argv[1:-1]]) + f" {''.join(sys.argv[-1:])}"
    os.environ.update(
        _ARGCOMPLETE="1",
        _ARGCOMPLETE_IFS="\n",
        _ARGCOMPLETE_DFS="\t",
        _ARGCOMPLETE_SUPPRESS_SPACE="1",
        COMP_LINE=line,
        COMP_POINT=str(len(line)),
    )
    parser = cli.parser_of("kubectl finetune", sys.argv[1:])
    argcomplete.autocomplete(
        parser, always_complete_options="long", exit_method=_end, output_stream=sys.stdout
    )


def _end(code: int) -> None:
    print(f"\n{NO_FILES}", flush=True)
    # At once, as argcomplete itself ends: the rest of the program must not run.
    os._exit(code)
