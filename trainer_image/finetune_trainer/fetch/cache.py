"""The model cache: a folder that the jobs of a namespace share, in which each model lies once.

An entry is named by what it is: the source, by commit or digest. It is filled beside its place and
marked when it is complete, by one job at a time, and compared with its digest whenever it is taken.
Each job asks hub or registry itself, with its own credential, what its source stands for: so nobody
gets a model from the cache who could not fetch it.
"""

import errno
import fcntl
import hashlib
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from finetune_trainer.errors import NoSpaceError
from finetune_trainer.fetch.place import digest_and_sync, mark, place, read_facts, remove
from finetune_trainer.fetch.source import Access, Source
from finetune_trainer.manifest import Fetched
from finetune_trainer.workspace import facts_of

Fill = Callable[[Source, Path, Access], str]

log = logging.getLogger(__name__)


class CacheUnusableError(Exception):
    """The model has to be fetched into the job's own volume; says why."""


def take(pinned: Source, source: Source, destination: Path, access: Access, fill: Fill) -> Fetched:
    """Find `pinned` in the cache or fetch it into it, and mark it at `destination` as `source`.

    Args:
        pinned: the source by commit or digest.
        fill: fetches a source into a folder.

    Raises:
        CacheUnusableError: the cache is full, or cannot be written.
        TrainerError: hub or registry refuse, or are away.
    """
    if access.cache is None:
        raise CacheUnusableError("there is none")
    entry = access.cache / _key(pinned)
    try:
        with _one_at_a_time(entry):
            _drop_what_changed(entry)
            fetched = place(pinned, entry, lambda folder: fill(pinned, folder, access))
    except NoSpaceError as error:
        raise CacheUnusableError(f"the model cache is full ({error})") from error
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        why = "is full" if full else f"cannot be used: {error}"
        raise CacheUnusableError(f"the model cache {why}") from error
    destination.parent.mkdir(parents=True, exist_ok=True)
    remove(destination)
    mark(source, destination, fetched, cached=str(entry))
    return fetched


def _key(pinned: Source) -> str:
    return hashlib.sha256(f"{pinned.uri}\n{pinned.revision}".encode()).hexdigest()[:40]


@contextmanager
def _one_at_a_time(entry: Path) -> Iterator[None]:
    """Held while an entry is compared or fetched; let go by the kernel when its holder dies."""
    with entry.with_name(f".{entry.name}.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.info("another job is at work on %s in the model cache", entry.name)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _drop_what_changed(entry: Path) -> None:
    facts = read_facts(entry)
    if facts is None:
        return
    if entry.is_dir() and digest_and_sync(entry) == facts.digest:
        log.info("%s is in the model cache as %s", facts.storage_uri, entry.name)
        return
    log.warning("%s in the model cache is not what was fetched; it is fetched again", entry.name)
    facts_of(entry).unlink()
