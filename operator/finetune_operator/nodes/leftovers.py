"""What costs and nobody will give back: who it was for, and whether they are gone.

A job keeps its finalizer until all is given back that was got for it. So what is left over is what
somebody left who removed a finalizer by hand.
"""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass

from finetune_operator.cluster.client import Client
from finetune_operator.cluster.errors import ForbiddenError, NotFoundError
from finetune_operator.domain import names
from finetune_operator.domain.actions import Action, Delete, JsonObject
from finetune_operator.domain.kinds import FINE_TUNE_JOB, Kind


@dataclass(frozen=True, slots=True)
class Owner:
    """The job that something was got for."""

    namespace: str
    name: str
    uid: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Leftover:
    """What is to be given back although no job asks for it."""

    kind: str
    name: str
    why: str
    actions: tuple[Action, ...]


async def gone(client: Client, owners: Collection[Owner]) -> set[Owner]:
    """Those that are known not to exist: whoever may not be looked up is not among them.

    Raises:
        ApiError: the API server does not tell.
    """
    exist = await asyncio.gather(*(_exists(client, owner) for owner in owners))
    return {owner for owner, there in zip(owners, exist, strict=True) if not there}


async def objects_left(client: Client, kind: Kind, labels: str = "") -> list[Leftover]:
    """Objects of the operator's own that were made for jobs that are gone.

    Args:
        labels: selector of those that it has made itself, beside its own label.

    Raises:
        ApiError: the API server does not tell.
    """
    own = f"{names.MANAGED_BY}={names.OPERATOR}"
    try:
        found = await client.list_objects(kind, labels=f"{own},{labels}" if labels else own)
    except NotFoundError:
        return []  # the cluster does not know the kind
    # Jobs are looked up after that: what was made since is not among what was found.
    owned = [
        (each, owner)
        for each in found
        if "deletionTimestamp" not in each["metadata"] and (owner := _owner(each)) is not None
    ]
    away = await gone(client, {owner for _, owner in owned})
    return [_leftover(kind, each, owner) for each, owner in owned if owner in away]


def lost(owner: object) -> str:
    """Why what a job held is a leftover."""
    return f"FineTuneJob {owner}, which held it, is gone"


def _leftover(kind: Kind, found: JsonObject, owner: Owner) -> Leftover:
    name, uid = found["metadata"]["name"], found["metadata"]["uid"]
    return Leftover(kind.name, name, lost(owner), (Delete(kind, "", name, uid),))


def _owner(found: JsonObject) -> Owner | None:
    labels = found["metadata"].get("labels", {})
    told = [labels.get(key) for key in (names.NAMESPACE, names.JOB, names.JOB_UID)]
    return Owner(*told) if all(told) else None


async def _exists(client: Client, owner: Owner) -> bool:
    """Whether that very job exists; one of a namespace that is not ours to read may."""
    try:
        live = await client.get(FINE_TUNE_JOB, owner.namespace, owner.name)
    except ForbiddenError:
        return True
    return live is not None and live["metadata"]["uid"] == owner.uid
