"""Training processes as the launcher starts them, but forked from one that has imported torch.

Importing torch, transformers and peft costs ten seconds of work; these tests start some forty
processes. Each runs the real engine/start.py in a process of its own and ends with its real exit
code.
"""

import multiprocessing
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from finetune_trainer.launch import MESSAGE_VARIABLE
from finetune_trainer.manifest import Failure, Trained

TIMEOUT = 180.0
"""Seconds for one run, on a machine that does much else."""

# Python 3.11 does not tell the fork server about sys.path, and it ignores what it cannot import.
os.environ["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload(["tests.trainer.preloaded"])

Prepare = Callable[[], None]
"""Runs in the process before the worker: arranges for its end."""


@dataclass(frozen=True)
class Ended:
    """How a process ended."""

    exit_code: int
    """Minus the signal, if one killed it."""
    log: str
    message: Path

    @property
    def trained(self) -> Trained:
        assert self.exit_code == 0, self.log
        return Trained.model_validate_json(self.message.read_bytes())

    @property
    def failure(self) -> Failure:
        return Failure.model_validate_json(self.message.read_bytes())


def train(
    root: Path,
    *,
    attempt: int = 1,
    processes: int = 1,
    prepare: Sequence[Prepare | None] = (None,),
) -> list[Ended]:
    """Run one attempt to its end; `prepare` has an entry for each process."""
    environment = {"FINETUNE_ATTEMPT": str(attempt), "OMP_NUM_THREADS": "1"}
    if processes > 1:
        environment |= {
            "WORLD_SIZE": str(processes),
            "LOCAL_WORLD_SIZE": "1",
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(_free_port()),
        }
    started = [
        _start(root, attempt, rank, environment, prepare[rank] if rank < len(prepare) else None)
        for rank in range(processes)
    ]
    return [_wait(root, attempt, rank, process) for rank, process in enumerate(started)]


def kill_self(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


def _start(
    root: Path, attempt: int, rank: int, environment: dict[str, str], prepare: Prepare | None
) -> ForkServerProcess:
    message = root / f"message-{attempt}-{rank}.json"
    own = {MESSAGE_VARIABLE: str(message)}
    if "WORLD_SIZE" in environment:
        own |= {"RANK": str(rank), "LOCAL_RANK": "0"}
    process = context.Process(
        target=_main, args=(root, environment | own, _log(root, attempt, rank), prepare)
    )
    process.start()
    return process


def _main(root: Path, environment: dict[str, str], log: Path, prepare: Prepare | None) -> None:
    os.environ.update(environment)
    with log.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    from finetune_trainer.engine import start  # noqa: PLC0415 - slow where it is not preloaded

    arguments = ["--recipe", str(root / "recipe.json"), "--workspace", str(root)]
    sys.argv = ["start", "engine.worker", *arguments]
    if prepare:
        prepare()
    start.main()


def _wait(root: Path, attempt: int, rank: int, process: ForkServerProcess) -> Ended:
    process.join(TIMEOUT)
    log = _log(root, attempt, rank)
    if process.exitcode is None:
        process.kill()
        raise TimeoutError(f"process {rank} runs on:\n{log.read_text()}")
    return Ended(process.exitcode, log.read_text(), root / f"message-{attempt}-{rank}.json")


def _log(root: Path, attempt: int, rank: int) -> Path:
    return root / f"log-{attempt}-{rank}"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
