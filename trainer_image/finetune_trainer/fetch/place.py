"""A fetched folder appears whole or not at all: filled beside its place, renamed, then marked."""

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from finetune_trainer.errors import ConfigurationError
from finetune_trainer.fetch.source import Source
from finetune_trainer.manifest import Fetched, FetchedInput
from finetune_trainer.workspace import facts_of, write_durably


def place(source: Source, destination: Path, fill: Callable[[Path], str]) -> Fetched:
    """Fetch into `destination`, unless exactly this source is there already.

    `fill` gets a folder to fill, which may hold what an interrupted call for the same source left,
    and returns the commit or digest that it resolved to. Complete when `<destination>.json` exists.
    """
    marker = facts_of(destination)
    present = read_facts(destination)
    if present is not None and _answers(present, source):
        return Fetched(digest=present.digest, revision=present.revision)
    marker.unlink(missing_ok=True)
    remove(destination)
    partial = _partial(source, destination)
    partial.mkdir(parents=True, exist_ok=True)
    revision = fill(partial)
    fetched = Fetched(digest=digest_and_sync(partial), revision=revision)
    partial.rename(destination)
    mark(source, destination, fetched)
    return fetched


def mark(source: Source, destination: Path, fetched: Fetched, cached: str = "") -> None:
    """Say that a source is complete, in `destination` or in the model cache."""
    facts = FetchedInput(
        digest=fetched.digest,
        revision=fetched.revision,
        storage_uri=source.uri,
        requested_revision=source.revision,
        cached=cached,
    )
    write_durably(facts_of(destination), facts.model_dump_json().encode())


def empty(folder: Path) -> None:
    """For sources that cannot go on where they stopped."""
    remove(folder)
    folder.mkdir(parents=True)


def _answers(present: FetchedInput, source: Source) -> bool:
    """And lies here: what lay in the cache is asked for only where the cache is used no longer."""
    wanted = (source.uri, source.revision, "")
    return (present.storage_uri, present.requested_revision, present.cached) == wanted


def _partial(source: Source, destination: Path) -> Path:
    """The folder to fill; those of other sources are removed."""
    key = hashlib.sha256(f"{source.uri}\n{source.revision}".encode()).hexdigest()[:12]
    partial = destination.with_name(f".{destination.name}.{key}.partial")
    for other in destination.parent.glob(f".{destination.name}.*.partial"):
        if other != partial:
            remove(other)
    return partial


def digest_and_sync(folder: Path) -> str:
    """SHA-256 over `sha256sum`'s lines for every file in order of path; all is on disk after it."""
    total = hashlib.sha256()
    paths = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))
    for path in paths:
        if not (folder / path).is_file():
            continue
        with (folder / path).open("rb") as file:
            total.update(f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {path}\n".encode())
            os.fsync(file.fileno())
    return f"sha256:{total.hexdigest()}"


def read_facts(fetched: Path) -> FetchedInput | None:
    """What is said beside an input; None while it is not complete."""
    try:
        return FetchedInput.model_validate_json(facts_of(fetched).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def remove(path: Path) -> None:
    """A folder that fetch has written, if it is there.

    Raises:
        ConfigurationError: it is no folder.
    """
    if path.is_symlink() or path.is_file():
        raise ConfigurationError(f"{path} is in the way: it should be a folder written by fetch")
    if path.exists():
        shutil.rmtree(path)
