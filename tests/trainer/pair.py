"""Two training processes that stay: they carry out one recipe after the other.

Starting processes costs more than what tiny models train, so many cells share two of them. Each
runs what a worker runs, but joins the others once.
"""

import os
import socket
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from tests.trainer.processes import context

TIMEOUT = 180.0
"""Seconds that one recipe may take, on a machine that does much else."""
_OUTCOME = "outcome-{rank}"


@dataclass(frozen=True)
class Pair:
    """The processes, and where they look for the next workspace."""

    root: Path
    processes: Sequence[ForkServerProcess]

    def run(self, workspace: Path) -> None:
        """Carry out the recipe in a workspace, as attempt 1.

        Raises:
            AssertionError: with what was raised in either process.
        """
        number = len(list(self.root.iterdir()))
        (self.root / f"{number}.part").write_text(str(workspace))
        (self.root / f"{number}.part").rename(self.root / str(number))
        outcomes = [workspace / _OUTCOME.format(rank=rank) for rank in range(len(self.processes))]
        deadline = time.monotonic() + TIMEOUT
        while not all(each.exists() for each in outcomes):
            if said := _said(outcomes):
                self.end()  # the other waits for this one
                raise AssertionError(said)
            assert time.monotonic() < deadline
            assert all(each.is_alive() for each in self.processes)
            time.sleep(0.02)
        assert not _said(outcomes), _said(outcomes)

    def end(self) -> None:
        for process in self.processes:
            process.kill()
            process.join()


def _said(outcomes: Sequence[Path]) -> str:
    return "\n".join(each.read_text() for each in outcomes if each.exists()).strip()


def start(root: Path) -> Pair:
    """The processes begin to import at once; `root` is theirs."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    processes = [context.Process(target=_serve, args=(root, rank, port)) for rank in range(2)]
    for process in processes:
        process.start()
    return Pair(root, processes)


def _refuse_writing_elsewhere(event: str, arguments: tuple[Any, ...]) -> None:
    """The root file system of a container is read-only; here tests write to TMPDIR alone."""
    if event == "open" and isinstance(arguments[0], str | bytes):
        writes = arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    else:
        writes = event in ("os.mkdir", "os.rename")
    if writes:
        place = os.fsdecode(arguments[0])
        allowed = (tempfile.gettempdir(), "/dev/", "/proc/")
        if place.startswith("/") and not place.startswith(allowed) and "__pycache__" not in place:
            raise PermissionError(f"{event} {place}")


def _serve(root: Path, rank: int, port: int) -> None:
    sys.addaudithook(_refuse_writing_elsewhere)
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    os.environ |= place | {"WORLD_SIZE": "2", "RANK": str(rank), "LOCAL_RANK": "0"}
    number = 0
    while True:
        order = root / str(number)
        while not order.exists():
            time.sleep(0.02)
        _carry_out(Path(order.read_text()), rank)
        number += 1


def _carry_out(root: Path, rank: int) -> None:
    import torch  # noqa: PLC0415
    from torch import distributed  # noqa: PLC0415 - slow where it is not preloaded
    from transformers.integrations.deepspeed import unset_hf_deepspeed_config  # noqa: PLC0415

    from finetune_trainer.engine.progress import ProgressReporter  # noqa: PLC0415
    from finetune_trainer.engine.run import run  # noqa: PLC0415
    from finetune_trainer.engine.stop import StopRequest  # noqa: PLC0415
    from finetune_trainer.engine.world import World, join  # noqa: PLC0415
    from finetune_trainer.recipe import read_recipe  # noqa: PLC0415
    from finetune_trainer.workspace import Workspace  # noqa: PLC0415

    recipe = read_recipe(root / "recipe.json")
    if not distributed.is_initialized():
        join(recipe)
    world = World(rank, 2, torch.device("cpu"))
    said, stop = "", StopRequest()
    try:
        with ProgressReporter.from_environment() as reporter:
            run(recipe, Workspace(root), attempt=1, world=world, stop=stop, reporter=reporter)
    except Exception:
        said = traceback.format_exc()
    unset_hf_deepspeed_config()  # a process of its own ends with its run
    temporary = root / f".{_OUTCOME.format(rank=rank)}"
    temporary.write_text(said)
    temporary.rename(root / _OUTCOME.format(rank=rank))
