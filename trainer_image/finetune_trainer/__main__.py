"""`python -m finetune_trainer COMMAND`: a table of commands, a file each.

A command's module offers `add_arguments(parser)` and `run(arguments)`. `run` returns the
termination message of success and raises a TrainerError otherwise. Only the chosen module is
imported, and of these modules only serve's may load torch: `train` leaves it to the processes that
it starts.
"""

import argparse
import importlib
import logging
import os
import sys
from collections.abc import Sequence

from finetune_trainer import onednn
from finetune_trainer.errors import TrainerError
from finetune_trainer.exit_codes import ExitCode
from finetune_trainer.libraries import hide
from finetune_trainer.recipe import Device
from finetune_trainer.termination import failure, write_termination_message

COMMANDS = {
    "fetch": ("finetune_trainer.fetch", "copy a model or a dataset into the workspace"),
    "check": ("finetune_trainer.check", "refuse in seconds what could not be trained"),
    "inspect": ("finetune_trainer.inspect_data", "show what training sees of a data file"),
    "reuse": ("finetune_trainer.reuse", "find an earlier result of the same recipe and data"),
    "train": ("finetune_trainer.launch", "train, evaluate and write output/"),
    "publish": ("finetune_trainer.publish", "push output/ to a registry"),
    "serve": ("finetune_trainer.serve", "answer OpenAI-compatible requests"),
}

log = logging.getLogger("finetune_trainer")


def main(argv: Sequence[str]) -> int:
    """Run one command; returns the exit code after writing the termination message."""
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s"
    )
    name = argv[0] if argv else ""
    if name not in COMMANDS:
        lines = [f"  {command:8} {text}" for command, (_, text) in COMMANDS.items()]
        print("usage: python -m finetune_trainer COMMAND …", *lines, sep="\n", file=sys.stderr)
        return 0 if name in ("-h", "--help") else ExitCode.CONFIGURATION_ERROR
    module_name, text = COMMANDS[name]
    module = importlib.import_module(module_name)
    parser = argparse.ArgumentParser(f"python -m finetune_trainer {name}", description=text)
    module.add_arguments(parser)
    arguments = parser.parse_args(argv[1:])
    try:
        message = module.run(arguments)
    except TrainerError as error:
        log.error("%s: %s", error.reason, error)
        write_termination_message(failure(error))
        return error.exit_code
    if message is not None:
        print(message.model_dump_json(exclude_none=True))
        write_termination_message(message)
    return ExitCode.OK


def _hide_torch() -> None:
    """transformers reads tokenizers and configurations as well without, in a fifth of the time."""
    hide(["torch"])
    os.environ["TRANSFORMERS_NO_ADVISORY_WARNINGS"] = "1"  # it would tell users to install torch


if __name__ == "__main__":
    if sys.argv[1:2] in (["check"], ["inspect"]):
        _hide_torch()
    if sys.argv[1:2] == ["serve"]:
        # It computes in this process; those that train get theirs from the launcher. On a GPU they
        # are read by nobody.
        os.environ.update(onednn.environment(Device.CPU) | os.environ)
    sys.exit(main(sys.argv[1:]))
