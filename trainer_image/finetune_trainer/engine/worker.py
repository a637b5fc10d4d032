"""One training process, started by the launcher through engine/start.py."""

import argparse
import logging
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from finetune_trainer.engine.failures import translate
from finetune_trainer.engine.progress import ProgressReporter
from finetune_trainer.engine.run import run
from finetune_trainer.engine.stop import StopRequest
from finetune_trainer.engine.world import join, leave
from finetune_trainer.exit_codes import ExitCode
from finetune_trainer.launch import MESSAGE_VARIABLE
from finetune_trainer.manifest import Trained
from finetune_trainer.recipe import read_recipe
from finetune_trainer.termination import failure
from finetune_trainer.workspace import Workspace

log = logging.getLogger("finetune_trainer")


def main(arguments: argparse.Namespace) -> NoReturn:
    """Train."""
    carry_out(_run, arguments)


def carry_out(
    work: Callable[[Path, Workspace], Trained | None], arguments: argparse.Namespace
) -> NoReturn:
    """Do the work, leave the message for the launcher in the file it named, and end."""
    rank = os.environ.get("RANK", "0")
    logging.basicConfig(
        level=logging.INFO,
        stream=sys.stderr,
        format=f"%(asctime)s %(levelname)s [{rank}] %(message)s",
    )
    message = Path(os.environ[MESSAGE_VARIABLE])
    # The launcher alone listens to a terminal's Ctrl-C, and hands it on as SIGTERM.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        trained = work(arguments.recipe, Workspace(arguments.workspace))
    except Exception as error:
        known = translate(error)
        if known is None:
            raise
        if known is not error:  # else the launcher says all there is to say
            log.exception("%s", known.reason)
        message.write_text(failure(known).model_dump_json(), encoding="utf-8")
        _end(known.exit_code)
    if trained is not None:
        message.write_text(trained.model_dump_json(), encoding="utf-8")
    _end(ExitCode.OK)


def _end(code: int) -> NoReturn:
    """At once, without the interpreter's own end: destructors of broken process groups can wait
    there for the lost peer, and one of ninety-six runs aborted there when all its work was done
    (SIGABRT, "terminate called without an active exception"), as threads do that come back to an
    interpreter that is no more."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _run(recipe_path: Path, workspace: Workspace) -> Trained | None:
    stop = StopRequest()
    stop.listen()
    recipe = read_recipe(recipe_path)
    world = join(recipe)
    attempt = int(os.environ.get("FINETUNE_ATTEMPT", "1"))
    reporter = ProgressReporter.from_environment()
    with reporter:
        trained = run(recipe, workspace, attempt=attempt, world=world, stop=stop, reporter=reporter)
    leave()
    return trained
