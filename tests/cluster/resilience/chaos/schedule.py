"""What fails and when: nothing but a function of the seed and of how long it goes on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random

REPLICAS = ("first", "second")
LEADER = "that leads"
"""Instead of a name: whichever replica wrote last."""
DISTURBED = 0.3
"""Share of an operator's requests to which something happens."""
HOUR = 3600
AWAY_SECONDS = (2, 20)
"""A kubelet restarts a container so soon at first; later so late that the other takes over."""
TRAINS_FROM = 25
"""Seconds until the first trainer can be running; before that there is none to kill."""


class Kind(StrEnum):
    OPERATOR = "kill -9 an operator"
    CLOCK = "set an operator's clock"
    TRAINER = "kill -9 a trainer"
    API_SERVER = "kill -9 the API server"
    ETCD = "kill -9 etcd"


EVERY: dict[Kind, int] = {
    Kind.OPERATOR: 12,
    Kind.CLOCK: 15,
    Kind.TRAINER: 12,
    Kind.API_SERVER: 50,
    Kind.ETCD: 60,
}
"""Seconds from one to the next, on average; each comes once at the least."""


@dataclass(frozen=True, order=True)
class Fault:
    second: float
    kind: Kind
    target: str = ""
    """Which replica; of trainers, a number that chooses among those that run."""
    amount: int = 0
    """By how many seconds the clock is off from then on; for how long the operator is away."""

    def __str__(self) -> str:
        words = [f"{self.second:6.1f} s  {self.kind}", self.target]
        words += [f"off by {self.amount:+d} s"] if self.kind is Kind.CLOCK else []
        words += [f"for {self.amount} s"] if self.kind is Kind.OPERATOR else []
        return "  ".join(word for word in words if word)


def schedule(seed: int, seconds: int) -> tuple[Fault, ...]:
    """The faults in the order of their time, the last one before `seconds` are over."""
    random = Random(f"schedule {seed}")
    faults = []
    for kind, every in EVERY.items():
        begin = TRAINS_FROM if kind is Kind.TRAINER else 0
        number = max(1, (seconds - begin) // every)
        # One in each slot: by chance alone there might be none, or all of them at once.
        slot = (seconds - begin) / number
        for place in range(number):
            second = round(begin + slot * (place + random.random()), 1)
            faults.append(_fault(random, kind, second))
    return tuple(sorted(faults))


def _fault(random: Random, kind: Kind, second: float) -> Fault:
    if kind is Kind.OPERATOR:
        target = random.choice((*REPLICAS, LEADER, LEADER))
        return Fault(second, kind, target, random.choice(AWAY_SECONDS))
    if kind is Kind.CLOCK:
        amount = random.choice((-HOUR, HOUR, random.randint(-HOUR, HOUR)))
        return Fault(second, kind, random.choice(REPLICAS), amount)
    if kind is Kind.TRAINER:
        return Fault(second, kind, str(random.randrange(1000)))
    return Fault(second, kind)


class Answer(StrEnum):
    """What an operator gets instead of the API server's answer."""

    CONFLICT = "409"
    THROTTLED = "429"
    BROKEN = "500"
    NONE = "none"
    """Nothing, for longer than it waits."""


ANSWERS: Sequence[Answer] = (
    *(Answer.CONFLICT, Answer.THROTTLED, Answer.BROKEN) * 3,
    # Each costs the operator ten seconds in which it comes no further.
    Answer.NONE,
)


@dataclass(frozen=True)
class Disturbance:
    answer: Answer
    carried_out: bool
    """Whether the request was carried out all the same, which the operator cannot know."""


def disturbance(seed: int, replica: str, number: int) -> Disturbance | None:
    """What happens to the request of that number, from 1, of a replica."""
    random = Random(f"request {seed} {replica} {number}")
    if random.random() >= DISTURBED:
        return None
    return Disturbance(random.choice(ANSWERS), random.random() < 0.5)
