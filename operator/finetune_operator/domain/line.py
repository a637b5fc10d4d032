"""Whose turn it is to train, where not all can at a time: a fair order, and how far it may go.

A job waits because its class lets no more of a namespace's jobs run, or no more jobs at all, or
because jobs of several nodes start one at a time: two halves would hold the nodes that each other
needs. Of one priority the namespace goes first in which fewest jobs run, and in it the job that
has waited for longest.
"""

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum, StrEnum

Key = tuple[str, str]
"""Namespace and name of a job."""

EXACT_PLACES = 20
_LATEST = datetime.max.replace(tzinfo=UTC)


class Standing(Enum):
    """Where a job is."""

    WAITS = "no attempt is under way, and the next may start when it is its turn"
    STARTS = "not every pod of its attempt has a node yet"
    RUNS = "it trains, or keeps its place between two attempts"


class Hold(StrEnum):
    """What keeps a job waiting."""

    NAMESPACE = "NAMESPACE"
    CLASS = "CLASS"
    START = "START"


@dataclass(frozen=True, slots=True)
class Limits:
    """How many jobs of a class may run at a time; None: any number."""

    running: int | None = None
    running_per_namespace: int | None = None


@dataclass(frozen=True, slots=True)
class Entrant:
    """A job that is prepared and not trained yet."""

    namespace: str
    name: str
    class_name: str
    standing: Standing
    priority: int = 0
    """Value of its PriorityClass."""
    since: datetime | None = None
    """When it was told to wait; None: it has only just come."""
    whole: bool = False
    """Of several nodes, which this operator starts all at once or not at all."""
    keeps_place: bool = False
    """Between two attempts: the limits do not hold it again."""

    @property
    def key(self) -> Key:
        """What names it."""
        return self.namespace, self.name


@dataclass(frozen=True, slots=True)
class Turn:
    """Whether a job may start, and otherwise what it waits for."""

    hold: Hold | None = None
    place: int = 0
    """From 1, among those that are held by the same."""
    of: int = 0
    limit: int = 0
    """How many may run at a time, where a limit of the class holds it."""
    by: str = ""
    """`namespace/name` of the job of several nodes that starts, or that goes first."""


MAY_START = Turn()


def turns(entrants: Iterable[Entrant], limits: Mapping[str, Limits]) -> dict[Key, Turn]:
    """The turn of every job that waits.

    Args:
        limits: by the name of the class.
    """
    known = sorted(entrants, key=lambda each: each.key)
    waiting = [each for each in known if each.standing is Standing.WAITS]
    running = [each for each in known if each.standing is not Standing.WAITS or each.keeps_place]
    found: dict[Key, Turn] = {}
    for name in sorted({each.class_name for each in waiting}):
        found |= _of_class(
            [each for each in waiting if each.class_name == name],
            Counter(each.namespace for each in running if each.class_name == name),
            limits.get(name, Limits()),
        )
    starting = next((each for each in known if each.standing is Standing.STARTS), None)
    ready = [each for each in waiting if each.whole and found[each.key].hold is None]
    order = fair_order(ready, Counter(each.namespace for each in running))
    return found | _of_whole(order, starting)


def fair_order(waiting: Iterable[Entrant], running: Mapping[str, int]) -> list[Entrant]:
    """Who is served first, second, … if nobody else comes and nobody ends.

    Args:
        running: jobs that run already, by namespace.
    """
    by_priority: defaultdict[int, defaultdict[str, list[Entrant]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for each in sorted(waiting, key=_seniority):
        by_priority[each.priority][each.namespace].append(each)
    load = Counter(running)
    return [
        each
        for priority in sorted(by_priority, reverse=True)
        for each in _round_robin(by_priority[priority], load)
    ]


def _seniority(entrant: Entrant) -> tuple[datetime, Key]:
    return entrant.since or _LATEST, entrant.key


def _round_robin(queues: Mapping[str, list[Entrant]], load: Counter[str]) -> Iterator[Entrant]:
    """Raises `load` by whom it serves."""
    heads = [(load[name], *_seniority(queue[0]), 0) for name, queue in queues.items()]
    heapq.heapify(heads)
    while heads:
        _, _, (namespace, _), number = heapq.heappop(heads)
        yield queues[namespace][number]
        load[namespace] += 1
        if number + 1 < len(queues[namespace]):
            after = queues[namespace][number + 1]
            heapq.heappush(heads, (load[namespace], *_seniority(after), number + 1))


def _of_class(waiting: list[Entrant], running: Counter[str], limits: Limits) -> dict[Key, Turn]:
    """Turns by the limits of one class; those that may start count against them at once."""
    total, of_each = limits.running, limits.running_per_namespace
    left = _left(total, running.total())
    left_of = {each.namespace: _left(of_each, running[each.namespace]) for each in waiting}
    keeping = [each for each in waiting if each.keeps_place]
    found = {each.key: MAY_START for each in keeping}
    held_by_class: list[Key] = []
    held_by_namespace: defaultdict[str, list[Key]] = defaultdict(list)
    for each in fair_order((each for each in waiting if not each.keeps_place), running):
        if left_of[each.namespace] <= 0:
            held_by_namespace[each.namespace].append(each.key)
        elif left <= 0:
            held_by_class.append(each.key)
        else:
            left -= 1
            left_of[each.namespace] -= 1
            found[each.key] = MAY_START
    for keys in held_by_namespace.values():
        found |= _places(keys, Hold.NAMESPACE, limit=of_each or 0)
    return found | _places(held_by_class, Hold.CLASS, limit=total or 0)


def _left(limit: int | None, running: int) -> float:
    return float("inf") if limit is None else limit - running


def _of_whole(order: list[Entrant], starting: Entrant | None) -> dict[Key, Turn]:
    """Turns of jobs of several nodes that nothing else holds: one may start, if none does."""
    if not order:
        return {}
    first = starting or order[0]
    held = [each.key for each in order if each is not first]
    return _places(held, Hold.START, by="/".join(first.key))


def _places(keys: list[Key], hold: Hold, *, limit: int = 0, by: str = "") -> dict[Key, Turn]:
    return {key: Turn(hold, place, len(keys), limit, by) for place, key in enumerate(keys, 1)}


def rounded(place: int) -> int:
    """A place as it is told: exact up to 20, then in tens and hundreds.

    Each job that moves up writes its status; a thousand that wait must not all write whenever one
    starts.
    """
    if place <= EXACT_PLACES:
        return place
    step = 10 if place <= 100 else 100
    return place // step * step
