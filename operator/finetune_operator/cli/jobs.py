"""FineTuneJobs of the cluster, by name, and the names for the shell to complete."""

import argparse
from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import ValidationError

from finetune_operator.api.fine_tune_job import FineTuneJob
from finetune_operator.cli.access import Access, in_cluster
from finetune_operator.cli.refusals import Refused, aside, refused, show_refusals
from finetune_operator.domain.actions import JsonObject
from finetune_operator.domain.kinds import FINE_TUNE_JOB

COMPLETION_SECONDS = 3.0
"""Who has pressed a key waits no longer."""
_NAMED = 10
"""So many jobs are listed to somebody who named one that does not exist."""


def add_name(parser: argparse.ArgumentParser) -> None:
    """The argument NAME, which the shell completes; `list -o name` prints what it takes."""
    name = parser.add_argument("name", metavar="NAME", type=plain_name, help="of the FineTuneJob")
    name.completer = complete_names  # type: ignore[attr-defined]  # argcomplete looks for it


def plain_name(given: str) -> str:
    """chat, of `chat` or `finetunejob.finetune.dev/chat`."""
    return given.rpartition("/")[2]


async def find(access: Access, name: str) -> FineTuneJob:
    """
    Raises:
        Refused: there is none, with the names of those that there are.
        ApiError
    """
    stored = await access.client.get(FINE_TUNE_JOB, access.namespace, name)
    if stored is not None:
        return read(stored)
    others = await access.client.list_objects(FINE_TUNE_JOB, access.namespace)
    names = sorted(other["metadata"]["name"] for other in others)
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    there_are = f"there are {', '.join(names[:_NAMED])}{more}" if names else "there is none"
    raise refused(f"FineTuneJob {name} does not exist in namespace {access.namespace}: {there_are}")


def read(stored: JsonObject) -> FineTuneJob:
    """
    Raises:
        Refused: a newer version has written what this one does not know.
    """
    try:
        return FineTuneJob.from_stored(stored)
    except ValidationError as error:
        (first, *_) = error.errors(include_url=False)
        field = ".".join(str(part) for part in first["loc"])
        metadata = stored["metadata"]
        raise refused(
            f"FineTuneJob {metadata['namespace']}/{metadata['name']} cannot be read ({field}:"
            f" {first['msg']}): this finetune is older than the operator, update it"
        ) from error


def readable(found: Iterable[JsonObject]) -> Iterator[FineTuneJob]:
    """One that cannot be read is told of, and hides no other."""
    for stored in found:
        try:
            yield read(stored)
        except Refused as unreadable:
            show_refusals(aside(), unreadable.refusals)


def title(job: FineTuneJob) -> str:
    """namespace/name"""
    return f"{job.metadata.namespace}/{job.metadata.name}"


def complete_names(parsed_args: argparse.Namespace, **_: Any) -> list[str]:
    """Every job of the namespace; none where the cluster does not say."""
    found: list[str] = []

    async def work(access: Access) -> int:
        objects = await access.client.list_objects(FINE_TUNE_JOB, access.namespace)
        found.extend(each["metadata"]["name"] for each in objects)
        return 0

    try:
        in_cluster(parsed_args, work, COMPLETION_SECONDS)
    except Refused:
        return []
    return found
