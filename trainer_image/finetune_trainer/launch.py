"""`train`: starts the training processes of this node, then the one that exports, and gives their
end a meaning.

Runs as PID 1 of the container. It hands SIGTERM on, reaps every child, stops the others when one
fails, and tells a process killed for want of memory from one killed by anything else. It loads no
torch: the memory belongs to the training.
"""

import argparse
import logging
import os
import signal
import socket
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from finetune_trainer import computing
from finetune_trainer.cgroup import Cgroup
from finetune_trainer.commands import add_recipe_arguments
from finetune_trainer.errors import (
    ConfigurationError,
    OutOfMemoryError,
    PreemptedError,
    ProcessFailedError,
)
from finetune_trainer.exit_codes import ExitCode
from finetune_trainer.manifest import Failure, Trained
from finetune_trainer.processors import usable
from finetune_trainer.recipe import Compute, Device, read_recipe
from finetune_trainer.rules import problems

log = logging.getLogger(__name__)

MESSAGE_VARIABLE = "FINETUNE_WORKER_MESSAGE"
"""Names the file in which a training process leaves its last words for the launcher."""

PEER_GRACE_SECONDS = 20.0
"""How long the others may take to notice that one process has failed before they are killed."""
PREEMPTION_GRACE_SECONDS = 110.0
"""How long a checkpoint may take after SIGTERM: within the pod's grace of 120 s."""
PEER_NEWS_SECONDS = 60.0
"""How long the loss of a peer is kept back. The Job ends with the first pod that fails and removes
the others, and what the peer itself died of must not be lost so. As a rule the failed Job's SIGTERM
ends the wait as soon as the peer's kubelet has reported; it runs out only where that node is gone
too."""
OUT_OF_MEMORY = (
    "the container reached its memory limit: lower training.maxLength or "
    "training.tokensPerBatch, or raise compute.podTemplate.resources.limits.memory"
)
OUT_OF_MEMORY_EXPORTING = (
    "training is complete and saved, but making output.exports reached the container's memory "
    "limit: raise it in compute.podTemplate.resources (docs/exports.md says what each export "
    "takes), or export less"
)
_ALONE = Compute(device=Device.CPU, nodes=1, gpus_per_node=0)
_STOPPED = {-signal.SIGTERM, -signal.SIGKILL}
"""Statuses of a process that had not yet begun to listen, or that waited for others."""
_AWAITED = {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_recipe_arguments(parser)


def run(arguments: argparse.Namespace) -> Trained | None:
    """Train on this node's share, and on the first node make of the result what else is wanted.
    Returns the result on the first node, None on the others.

    Raises:
        TrainerError: as the process that failed first has ended.
    """
    recipe = read_recipe(arguments.recipe)
    if found := problems(recipe):
        raise ConfigurationError("; ".join(found))
    # Blocked before the first child exists, so that no signal is lost in between.
    signal.pthread_sigmask(signal.SIG_BLOCK, _AWAITED)
    trained = _supervised("engine.worker", recipe.compute, arguments, OUT_OF_MEMORY)
    if trained is None or not recipe.output.conversions:
        return trained
    # In a process of its own: the memory of training, also the GPU's, is free again.
    return _supervised("export.process", _ALONE, arguments, OUT_OF_MEMORY_EXPORTING)


def _supervised(
    module: str, compute: Compute, arguments: argparse.Namespace, out_of_memory: str
) -> Trained | None:
    """Run a module of ours in as many processes as the node has, to their end."""
    kills_before = Cgroup().out_of_memory_kills()
    with tempfile.TemporaryDirectory(prefix="finetune-") as messages:
        workers = _Workers(compute, Path(messages))
        command = [sys.executable, "-m", "finetune_trainer.engine.start", module]
        command += ["--recipe", str(arguments.recipe), "--workspace", str(arguments.workspace)]
        workers.start(command)
        workers.wait()
        culprit = workers.culprit()
        if culprit is None:
            return workers.result()
        if culprit.status == -signal.SIGKILL and Cgroup().out_of_memory_kills() > kills_before:
            raise OutOfMemoryError(out_of_memory)
        if culprit.status == ExitCode.PEER_LOST:
            workers.let_the_peer_go_first()
        if workers.stopping and culprit.status in _STOPPED:
            raise PreemptedError("stopped by SIGTERM; the next attempt goes on from its checkpoint")
        raise _as_error(culprit)


@dataclass
class _Worker:
    """One training process."""

    local_rank: int
    pid: int
    message: Path
    status: int | None = None
    """Exit code, or minus the signal that killed it; None while it runs."""
    stopped_by_us: bool = False
    """Because another process had failed, or because its time was up."""


@dataclass
class _Workers:
    """The training processes of this node."""

    compute: Compute
    directory: Path
    workers: dict[int, _Worker] = field(default_factory=dict)
    ended: list[_Worker] = field(default_factory=list)
    """In the order in which they ended."""
    stopping: bool = False
    """SIGTERM has arrived."""

    def start(self, command: list[str]) -> None:
        number_of_threads = max(1, usable() // self.compute.processes_per_node)
        environments = _environments(self.compute, number_of_threads)
        for local_rank, environment in enumerate(environments):
            message = self.directory / f"{local_rank}.json"
            pid = os.posix_spawn(
                command[0],
                command,
                environment | {MESSAGE_VARIABLE: str(message)},
                setsigmask=[],
            )
            self.workers[pid] = _Worker(local_rank, pid, message)

    def wait(self) -> None:
        """Until every process has ended; bounded once one has failed or SIGTERM has arrived."""
        deadline: float | None = None
        while len(self.ended) < len(self.workers):
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                self._stop(signal.SIGKILL)
                left = None
            received = self._next_signal(left)
            if received in (signal.SIGTERM, signal.SIGINT):
                self.stopping = True
                self._send(signal.SIGTERM)
                deadline = time.monotonic() + PREEMPTION_GRACE_SECONDS
            if self._reap() and deadline is None:
                # Those that are left notice by themselves, or are stopped.
                self._stop(signal.SIGTERM)
                deadline = time.monotonic() + PEER_GRACE_SECONDS

    def let_the_peer_go_first(self) -> None:
        """Waits until its own end is known, or until we are told to go."""
        log.info(
            "a peer was lost: ending in %.0f s, so that its own end is known", PEER_NEWS_SECONDS
        )
        deadline = time.monotonic() + PEER_NEWS_SECONDS
        while (left := deadline - time.monotonic()) > 0:
            if self._next_signal(left) in (signal.SIGTERM, signal.SIGINT):
                return

    def culprit(self) -> _Worker | None:
        """The process whose end explains the others'; None when all went well.

        The first to fail, but one that only lost its peer gives way to the peer.
        """
        failed = [worker for worker in self.ended if worker.status]
        own = [worker for worker in failed if not worker.stopped_by_us]
        causes = [worker for worker in own if worker.status != ExitCode.PEER_LOST]
        return next(iter([*causes, *own, *failed]), None)

    def result(self) -> Trained | None:
        for worker in self.ended:
            if worker.message.exists():
                return Trained.model_validate_json(worker.message.read_bytes())
        return None

    def _next_signal(self, timeout: float | None) -> int | None:
        if timeout is None:
            return signal.sigwaitinfo(_AWAITED).si_signo
        info = signal.sigtimedwait(_AWAITED, timeout)
        return info.si_signo if info else None

    def _reap(self) -> bool:
        """Collect what has ended, orphans that PID 1 inherits too; whether a process failed."""
        failed = False
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return failed
            if pid == 0:
                return failed
            if worker := self.workers.get(pid):
                worker.status = os.waitstatus_to_exitcode(status)
                self.ended.append(worker)
                failed = failed or worker.status != 0

    def _send(self, number: int) -> None:
        for worker in self.workers.values():
            if worker.status is None:
                os.kill(worker.pid, number)

    def _stop(self, number: int) -> None:
        for worker in self.workers.values():
            worker.stopped_by_us = worker.stopped_by_us or worker.status is None
        self._send(number)


def _environments(compute: Compute, number_of_threads: int) -> list[dict[str, str]]:
    """One environment for each process of this node."""
    # What the user has set in compute.podTemplate.env goes before.
    shared = {
        "HF_HUB_OFFLINE": "1",
        **computing.environment(compute.device, number_of_threads),
    } | dict(os.environ)
    if compute.world_size == 1:
        return [shared]
    node = int(os.environ.get("PET_NODE_RANK", "0"))
    alone = compute.nodes == 1
    shared |= {
        "WORLD_SIZE": str(compute.world_size),
        "LOCAL_WORLD_SIZE": str(compute.processes_per_node),
        "MASTER_ADDR": "127.0.0.1" if alone else os.environ["PET_MASTER_ADDR"],
        "MASTER_PORT": str(_free_port()) if alone else os.environ["PET_MASTER_PORT"],
    }
    first = node * compute.processes_per_node
    return [
        shared | {"RANK": str(first + local), "LOCAL_RANK": str(local)}
        for local in range(compute.processes_per_node)
    ]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _as_error(worker: _Worker) -> ProcessFailedError:
    status = worker.status or 0
    try:
        said = Failure.model_validate_json(worker.message.read_bytes())
        return ProcessFailedError(status, said.reason, said.message, said.step)
    except (OSError, ValidationError):
        pass
    if status < 0:
        name = signal.Signals(-status).name
        return ProcessFailedError(
            128 - status,
            "Killed",
            f"training process {worker.local_rank} was killed by {name}",
        )
    return ProcessFailedError(
        status,
        "Error",
        f"training process {worker.local_rank} failed with exit code {status}; see the log above",
    )
