"""Checkpoints as directories: written whole or not at all, chosen only when their digests hold.

A checkpoint holds safetensors and JSON, nothing that runs code when read. state.json is written
last; it names every other file with its sha256.
"""

import hashlib
import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from finetune_trainer.engine.selection import Selection
from finetune_trainer.fence import Fence
from finetune_trainer.recipe import Precision
from finetune_trainer.workspace import sync_directory, sync_tree

log = logging.getLogger(__name__)

STATE = "state.json"
_PREFIX = "step-"


class CheckpointState(BaseModel):
    """state.json."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    attempt: int
    step: int
    total_steps: int
    training_digest: str
    """What decided the numbers; see Recipe.training_digest."""
    dataset_digest: str
    precision: Precision
    """What Auto was resolved to: another machine goes on in the same arithmetic."""
    loss: float
    """Of the optimizer steps logged last."""
    scheduler: dict[str, Any]
    selection: Selection | None = None
    """Of evaluations before this checkpoint, where the best is kept."""
    files: dict[str, str] = {}
    """sha256 in hex of every other file."""


@dataclass(frozen=True)
class Checkpoint:
    """A complete checkpoint."""

    path: Path
    state: CheckpointState


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of one job."""

    root: Path
    keep: int
    fence: Fence

    def write(self, state: CheckpointState, fill: Callable[[Path], None]) -> None:
        """Write one checkpoint and remove those that are too many.

        Args:
            state: what to record; `files` is filled in here.
            fill: writes the tensors into the directory it is given.

        Raises:
            SupersededError: a later attempt owns the volume; nothing was committed.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        name = f"{_PREFIX}{state.step:08d}"
        temporary = self.root / f".{name}.{self.fence.attempt}"
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        fill(temporary)
        files = {path.name: file_digest(path) for path in sorted(temporary.iterdir())}
        complete = state.model_copy(update={"files": files})
        (temporary / STATE).write_text(complete.model_dump_json(indent=2), encoding="utf-8")
        sync_tree(temporary)
        self.fence.hold()
        self._commit(temporary, self.root / name)
        self._prune()

    def path(self, step: int) -> Path:
        """Where the checkpoint of a step lies."""
        return self.root / f"{_PREFIX}{step:08d}"

    def newest(self, training_digest: str) -> Checkpoint | None:
        """The newest checkpoint that is whole and of the same training; None if there is none."""
        for path in self._committed():
            checkpoint = self._read(path)
            if checkpoint is None:
                continue
            if checkpoint.state.training_digest == training_digest:
                return self._selecting(checkpoint)
            log.warning("%s is of another recipe; it is not used", path.name)
        return None

    def at(self, step: int) -> Checkpoint:
        """The checkpoint of a step, which another process has found to be whole."""
        path = self.path(step)
        state = CheckpointState.model_validate_json((path / STATE).read_bytes())
        return self._selecting(Checkpoint(path, state))

    def _committed(self) -> list[Path]:
        """Newest first. Directories still being written have a name of another form."""
        return sorted(self.root.glob(f"{_PREFIX}*"), reverse=True)

    def _selecting(self, checkpoint: Checkpoint) -> Checkpoint:
        """Without a best that is no longer there: it is when a later one has taken its place, and
        the checkpoint after that is not whole."""
        best = checkpoint.state.selection
        if best is None or self._open(self.path(best.step)):
            return checkpoint
        log.warning("the weights of step %d are gone: the best is chosen anew", best.step)
        return Checkpoint(checkpoint.path, checkpoint.state.model_copy(update={"selection": None}))

    def _open(self, path: Path) -> Checkpoint | None:
        """Without a look at the other files."""
        try:
            state = CheckpointState.model_validate_json((path / STATE).read_bytes())
        except (OSError, ValidationError):
            return None
        return Checkpoint(path, state)

    def _read(self, path: Path) -> Checkpoint | None:
        try:
            state = CheckpointState.model_validate_json((path / STATE).read_bytes())
            torn = [name for name, kept in state.files.items() if file_digest(path / name) != kept]
        except (OSError, ValidationError) as error:
            log.warning("%s is not whole and is not used: %s", path.name, error)
            return None
        if torn:
            log.warning("%s is not whole and is not used: %s differ", path.name, ", ".join(torn))
            return None
        return Checkpoint(path, state)

    def _commit(self, temporary: Path, final: Path) -> None:
        # A torn one of the same name may be in the way: a directory cannot be renamed over it.
        shutil.rmtree(final, ignore_errors=True)
        temporary.rename(final)
        sync_directory(self.root)

    def _prune(self) -> None:
        newest, others = self._committed()[: self.keep], self._committed()[self.keep :]
        states = [checkpoint.state for path in newest if (checkpoint := self._open(path))]
        best = {self.path(state.selection.step) for state in states if state.selection}
        for path in others:
            if path not in best:
                shutil.rmtree(path, ignore_errors=True)
        for path in self.root.glob(f".{_PREFIX}*"):
            shutil.rmtree(path, ignore_errors=True)


def file_digest(path: Path) -> str:
    """sha256 in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
