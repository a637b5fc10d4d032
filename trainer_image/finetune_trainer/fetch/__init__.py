"""`fetch`: copy one model, adapter or dataset into the workspace; a file for each scheme."""

import argparse
import errno
import logging
from collections.abc import Callable
from pathlib import Path

from finetune_trainer import authorities
from finetune_trainer.commands import add_access_arguments, add_workspace_argument
from finetune_trainer.errors import ConfigurationError, UnavailableError
from finetune_trainer.fetch import cache, file, oci, pvc
from finetune_trainer.fetch.place import place
from finetune_trainer.fetch.source import Access, Kind, Source
from finetune_trainer.manifest import Fetched


def _from_hub(source: Source, folder: Path, access: Access) -> str:
    # The hub's library takes as long to load as all else that fetches; so do those of the stores.
    from finetune_trainer.fetch import hub  # noqa: PLC0415

    return hub.fetch(source, folder, access)


def _pinned_of_hub(source: Source, access: Access) -> Source:
    from finetune_trainer.fetch import hub  # noqa: PLC0415

    return hub.pin(source, access)


def _from_s3(source: Source, folder: Path, access: Access) -> str:
    from finetune_trainer.fetch import s3  # noqa: PLC0415

    return s3.fetch(source, folder, access)


def _from_azure(source: Source, folder: Path, access: Access) -> str:
    from finetune_trainer.fetch import abfs  # noqa: PLC0415

    return abfs.fetch(source, folder, access)


SCHEMES: dict[str, Callable[[Source, Path, Access], str]] = {
    "hf": _from_hub,
    "oci": oci.fetch,
    "s3": _from_s3,
    "abfs": _from_azure,
    "pvc": pvc.fetch,
    "file": file.fetch,
}

PINNED: dict[str, Callable[[Source, Access], Source]] = {"hf": _pinned_of_hub, "oci": oci.pin}
"""What is fetched over the network, and how it is named so that it never stands for another."""

CLAIMS = Path("/sources")

UNUSED_LENGTH = 500
"""Of why the cache was not used: a termination message is short."""

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--uri", required=True, help="hf:// oci:// s3:// abfs:// pvc:// or file://")
    parser.add_argument("--revision", default="", help="branch, tag or commit (hf only)")
    parser.add_argument("--destination", type=Path, required=True, help="for example inputs/model")
    parser.add_argument("--cache", type=Path, help="a folder of models that jobs share")
    add_workspace_argument(parser)
    add_access_arguments(parser)
    parser.add_argument("--claims", type=Path, default=CLAIMS, help="where pvc:// is mounted")


def run(arguments: argparse.Namespace) -> Fetched:
    authorities.trust(arguments.authorities)
    destination = arguments.workspace / arguments.destination
    source = Source(arguments.uri, arguments.revision, Kind.of(destination))
    access = Access(
        arguments.credentials,
        arguments.claims,
        tuple(arguments.insecure_registry),
        arguments.cache,
    )
    return fetch(source, destination, access)


def fetch(source: Source, destination: Path, access: Access) -> Fetched:
    """Fetch `source` into the folder `destination`, unless it is there already; a model whose place
    is the cache is only marked at `destination`.

    Raises:
        ConfigurationError: the source names nothing, or nothing of use.
        CredentialsRefusedError: the other side answered 401 or 403.
        UnavailableError: the other side or the space on the volume is missing for now.
    """
    scheme = SCHEMES.get(source.scheme)
    if scheme is None:
        raise ConfigurationError(
            f"{source.field}: {source.uri!r} must begin with one of"
            f" {', '.join(f'{name}://' for name in SCHEMES)}"
        )
    log.info("fetching %s into %s", source.uri, destination)
    unused: str | None = None
    if access.cache is not None and source.kind is Kind.MODEL and source.scheme in PINNED:
        pinned = PINNED[source.scheme](source, access)
        try:
            return cache.take(pinned, source, destination, access, scheme)
        except cache.CacheUnusableError as error:
            unused = str(error)[:UNUSED_LENGTH]
            log.warning("%s: it is fetched into the job's own volume", error)
    try:
        fetched = place(source, destination, lambda folder: scheme(source, folder, access))
    except OSError as error:
        raise _of_volume(error, destination) from error
    return fetched.model_copy(update={"without_cache": unused})


def _of_volume(error: OSError, destination: Path) -> Exception:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return UnavailableError(
            f"the volume of {destination} is full: make checkpoint.volumeClaim.size larger"
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return ConfigurationError(
            f"cannot use {error.filename or destination}: {error.strerror};"
            " it has to be readable, and the workspace writable, for user 1000"
        )
    return UnavailableError(f"while fetching into {destination}: {error}")
