"""What a controller is: the kind it keeps right, what wakes it, and its reconcile function.

runtime/controllers.py holds the table of them; a further controller is one more line there.
"""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from finetune_operator.domain.actions import JsonObject
from finetune_operator.domain.kinds import Kind


class Key(NamedTuple):
    """Names the object to reconcile."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


def key_of(item: JsonObject) -> Key:
    """The key of an object."""
    metadata = item["metadata"]
    return Key(metadata.get("namespace", ""), metadata["name"])


Reconcile = Callable[[Key], Awaitable[float | None]]
"""Looks at everything, does what is missing, and says in how many seconds to look again at the
latest (None: when something happens). Any call may be the first, the last or a repeat."""


@dataclass(frozen=True, slots=True)
class Watch:
    """Another kind whose changes matter, and whose business they are."""

    kind: Kind
    keys: Callable[[JsonObject], Awaitable[Iterable[Key]]]
    """The objects to reconcile when this one changes."""

    labels: str = ""
    """Selector of the objects that are watched at all; one for each kind, over all controllers."""

    added: bool = True
    """Whether it matters that one has come. Of what only this operator makes, it does not: whoever
    made it has had the API server's answer."""


@dataclass(frozen=True, slots=True)
class Controller:
    """One entry of the table."""

    kind: Kind
    watches: tuple[Watch, ...]
    reconcile: Reconcile
    saw: Callable[[str | None, JsonObject], bool] = lambda _event, _item: True
    """Told of every object of the kind that has come, gone or changed (ADDED, MODIFIED, DELETED; a
    change of the status alone is none), or was listed (None). Whether it has to be looked at."""
    workers: int = 16
    """Keys worked on at a time. Each mostly waits for answers: a list may take the API server a
    tenth of a second, and one that many wait for no more than that."""


CHILDREN = "app.kubernetes.io/managed-by=finetune-operator"
"""The selector of every watched child, so that one watch of a kind serves all controllers."""


def labelled(label: str) -> Callable[[JsonObject], Awaitable[Iterable[Key]]]:
    """Finds the parent of a child by the label that holds its name."""

    async def keys(child: JsonObject) -> Iterable[Key]:
        name = child["metadata"].get("labels", {}).get(label)
        return [Key(child["metadata"]["namespace"], name)] if name else []

    return keys
