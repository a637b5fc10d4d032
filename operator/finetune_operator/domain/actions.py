"""What a decision asks the cluster to do. Each action may be carried out twice without harm."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from finetune_operator.domain.kinds import BATCH_JOB, Kind

JsonObject = dict[str, Any]
"""A Kubernetes object as JSON; read through typed views, written by pure builders."""


@dataclass(frozen=True, slots=True)
class Apply:
    """Server-side apply of a whole object under its deterministic name."""

    manifest: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Create:
    """Creates an object that is somebody else's from then on.

    One of that name is a conflict: what was seen is out of date, and the decision is made anew.
    """

    manifest: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Delete:
    """Deletes the object with this uid, and nothing that has since taken its name."""

    kind: Kind
    namespace: str
    name: str
    uid: str
    force: bool = False
    """Without grace: for a pod on a node that no longer answers."""


@dataclass(frozen=True, slots=True)
class Finalize:
    """Sets who has to be asked before an object may go. The object is another version afterwards:
    whatever else is to be said of it waits for the next look."""

    kind: Kind
    namespace: str
    name: str
    resource_version: str
    """Of the object that the list was read from: somebody else's finalizer must not get lost."""
    finalizers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ManagedCluster:
    """An AKS cluster, as Azure Resource Manager (ARM) names it."""

    subscription_id: str
    resource_group: str
    name: str


@dataclass(frozen=True, slots=True)
class PutAgentPool:
    """Makes or changes one agent pool of AKS. Returns before its nodes are there."""

    cluster: ManagedCluster
    name: str
    properties: Mapping[str, Any]
    """Whole, as ARM takes them."""
    etag: str
    """Of the pool that was read, so that nobody else's change gets lost; empty: there must be
    none of that name."""


@dataclass(frozen=True, slots=True)
class DeleteAgentPool:
    """Deletes one agent pool of AKS, unless it has changed since it was read."""

    cluster: ManagedCluster
    name: str
    etag: str


Action = Apply | Create | Delete | Finalize | PutAgentPool | DeleteAgentPool


def starts_a_job(actions: Iterable[Action]) -> bool:
    """Whether pods will follow from one of them."""
    return any(
        isinstance(each, Apply) and each.manifest["kind"] == BATCH_JOB.name for each in actions
    )


@dataclass(frozen=True, slots=True)
class Event:
    """Something a person should know; recorded only once the status that says so is stored."""

    reason: str
    """CamelCase, from a closed set."""

    message: str
    warning: bool = False
