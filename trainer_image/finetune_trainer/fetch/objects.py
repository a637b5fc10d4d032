"""What stores of objects have in common: a list with ETags, and reading that can be gone on with.

An object is read only while it is the one that was listed: what is fetched is of one moment, object
by object, and a pod that takes over from one that was lost goes on where that one stopped.
"""

import hashlib
import logging
import shutil
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from finetune_trainer.errors import ConfigurationError, UnavailableError
from finetune_trainer.fetch.contents import check, select
from finetune_trainer.fetch.source import Source

WORKERS = 4
"""Objects in flight, as of the hub."""
ATTEMPTS = 5
"""Of reading one object, each from where the last one broke off."""
_PARTS = ".parts"

log = logging.getLogger(__name__)


class BrokenError(Exception):
    """Reading broke off; it may be gone on with."""


class ChangedError(Exception):
    """The object is no longer the one that was listed."""


@dataclass(frozen=True)
class Item:
    """One object as it was listed."""

    key: str
    etag: str
    size: int


class Store(Protocol):
    """One bucket or container; each raises a TrainerError where asking again does not help."""

    def items(self, prefix: str) -> Iterable[Item]:
        """Every object whose key begins so."""
        ...

    def read(self, item: Item, start: int) -> Iterator[bytes]:
        """Its bytes from `start` on.

        Raises:
            BrokenError: nothing or not all of it came.
            ChangedError: there is another object of this key, or none.
        """
        ...


def fetch_objects(source: Source, store: Store, path: str, target: Path) -> None:
    """Fetch what is of use below `path`, or the object of that very key.

    Raises:
        ConfigurationError: there is nothing, or nothing of use.
        UnavailableError: an object changed meanwhile, or reading broke off again and again.
    """
    found = _below(path.strip("/"), store)
    if not found:
        raise ConfigurationError(f"{source.field}: there is nothing at {source.uri}")
    selected = select(source.kind, found)
    check(source, selected, found)
    parts = target / _PARTS
    with ThreadPoolExecutor(WORKERS) as pool:
        pending = [
            pool.submit(_download, source, store, found[name], _part(parts, found[name]))
            for name in sorted(selected)
        ]
        for each in pending:
            each.result()
    for name in selected:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        _part(parts, found[name]).rename(target / name)
    shutil.rmtree(parts)


def _below(path: str, store: Store) -> dict[str, Item]:
    """By the path relative to `path`."""
    items = {item.key: item for item in store.items(path) if item.size}
    if path in items:
        return {path.rpartition("/")[2]: items[path]}
    start = f"{path}/" if path else ""
    found = {key.removeprefix(start): item for key, item in items.items() if key.startswith(start)}
    return {name: item for name, item in found.items() if _stays_below(name)}


def _stays_below(name: str) -> bool:
    """A key is any text: one that as a path leads elsewhere is no file of the source."""
    parts = name.split("/")
    return parts[0] != _PARTS and not {"", ".", ".."} & set(parts)


def _part(folder: Path, item: Item) -> Path:
    """Named after what the object is, so that no other one is gone on with."""
    return folder / hashlib.sha256(f"{item.key}\n{item.etag}".encode()).hexdigest()


def _download(source: Source, store: Store, item: Item, part: Path) -> None:
    part.parent.mkdir(parents=True, exist_ok=True)
    said = ""
    for _ in range(ATTEMPTS):
        with part.open("ab") as file:
            try:
                if file.tell() < item.size:
                    for content in store.read(item, file.tell()):
                        file.write(content)
            except BrokenError as error:
                said = str(error)
                log.warning("%s broke off after %d bytes: %s", item.key, file.tell(), error)
                continue
            except ChangedError as error:
                raise UnavailableError(
                    f"{source.field}: {item.key} of {source.uri} was changed while it was fetched"
                ) from error
            if file.tell() == item.size:
                return
            said = f"{file.tell()} bytes came, of {item.size}"
    raise UnavailableError(f"{source.field}: {item.key} of {source.uri} does not come: {said}")
