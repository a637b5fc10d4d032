"""Where things lie in the workspace: the job's volume, or any directory outside a cluster."""

import os
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from finetune_trainer.errors import ConfigurationError
from finetune_trainer.manifest import FetchedInput


@dataclass(frozen=True)
class Workspace:
    """The layout of the volume; each name appears here only."""

    root: Path

    @property
    def model(self) -> Path:
        return self.root / "inputs" / "model"

    @property
    def adapter(self) -> Path:
        """What model.adapterUri names."""
        return self.root / "inputs" / "adapter"

    def source(self, role: str, index: int) -> Path:
        """The data of dataset.train[index] or dataset.validation[index]."""
        return self.root / "inputs" / f"{role}-{index}"

    def facts(self, fetched: Path) -> Path:
        """The JSON beside an input, written when it is complete."""
        return facts_of(fetched)

    @property
    def prepared(self) -> Path:
        return self.root / "prepared.json"

    @property
    def examples(self) -> Path:
        """The data as tokens: see data/prepared.py."""
        return self.root / "examples"

    @property
    def fence(self) -> Path:
        return self.root / "fence"

    @property
    def checkpoints(self) -> Path:
        return self.root / "checkpoints"

    @property
    def metrics(self) -> Path:
        """What was measured at each step: see report/metrics_log.py."""
        return self.root / "metrics.jsonl"

    @property
    def base_scores(self) -> Path:
        """How the base model does on each held-out example: see engine/base_scores.py."""
        return self.root / "base-scores"

    @property
    def references(self) -> Path:
        """What the model at the start says of the examples: see engine/references.py."""
        return self.root / "references"

    @property
    def output(self) -> Path:
        return self.root / "output"

    @property
    def evaluation(self) -> Path:
        """The scores of each held-out example: see report/scores.py."""
        return self.output / "evaluation.json"

    @property
    def completion(self) -> Path:
        return self.output / "completion.json"


def facts_of(fetched: Path) -> Path:
    """The JSON beside an input, written when it is complete."""
    return fetched.with_name(fetched.name + ".json")


def locate(fetched: Path, storage_uri: str) -> Path:
    """The input where fetch put it or found it, or, outside a cluster, where a file:// URI points.

    Raises:
        ConfigurationError: it is in none of these places.
    """
    if fetched.exists():
        return fetched
    if cached := _in_cache(fetched):
        if cached.is_dir():
            return cached
        raise ConfigurationError(
            f"{storage_uri} lay in the model cache, and {cached} is gone: create the job again"
        )
    if storage_uri.startswith("file://"):
        path = Path(storage_uri.removeprefix("file://"))
        if path.exists():
            return path
        raise ConfigurationError(f"{storage_uri} does not exist; correct the path")
    raise ConfigurationError(f"{storage_uri} was not fetched: {fetched} does not exist; run fetch")


def _in_cache(fetched: Path) -> Path | None:
    try:
        facts = FetchedInput.model_validate_json(facts_of(fetched).read_bytes())
    except (OSError, ValidationError):
        return None
    return Path(facts.cached) if facts.cached else None


def write_durably(path: Path, content: bytes) -> None:
    """Write a file so that after a crash it holds either the old or the new content."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Make renames and new names in the directory survive a crash."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(directory: Path) -> None:
    """Make every file below survive a crash."""
    for parent, _, names in os.walk(directory):
        for name in names:
            descriptor = os.open(Path(parent) / name, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        sync_directory(Path(parent))
