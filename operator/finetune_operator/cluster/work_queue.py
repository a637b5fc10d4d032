"""A work queue with the semantics of client-go's.

A key waits at most once, is never worked on twice at a time, and is worked on again if it was
added meanwhile. Failed keys come back after a delay of their own that doubles each time. Patient
keys, of which nothing new is known, are worked on while no other waits: so a change is not behind
ten thousand objects that an operator finds when it starts.
"""

import asyncio
import random
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, Protocol, TypeVar

from finetune_operator.cluster import metrics

FIRST_RETRY_SECONDS = 0.2
LONGEST_RETRY_SECONDS = 120.0

Key = TypeVar("Key", bound=Hashable)


class TimerHandle(Protocol):
    """What `call_later` returns."""

    def cancel(self) -> None:
        """Stops the call from happening."""
        ...

    def when(self) -> float:
        """The time at which the call is due."""
        ...


class Timer(Protocol):
    """The part of an event loop that the queue uses; tests bring one that they step."""

    def time(self) -> float:
        """Seconds, monotonic."""
        ...

    def call_later(self, delay: float, callback: Callable[..., object], *args: object) -> object:
        """Calls back after `delay` seconds; returns a TimerHandle."""
        ...


class WorkQueue(Generic[Key]):
    """Made and used within one running event loop."""

    def __init__(self, name: str, timer: Timer | None = None) -> None:
        self._timer: Timer = timer or asyncio.get_running_loop()
        self._urgent: OrderedDict[Key, None] = OrderedDict()
        self._patient: OrderedDict[Key, None] = OrderedDict()
        """A key waits in one of the two, the oldest first."""
        self._waiting = asyncio.Semaphore(0)
        """As many as wait in both."""
        self._added_at: dict[Key, float] = {}
        """Keys that are to be worked on, whether they wait or are behind their own work."""
        self._started_at: dict[Key, float] = {}
        self._failures: dict[Key, int] = {}
        self._delayed: dict[Key, TimerHandle] = {}
        self._depth = metrics.QUEUE_DEPTH.labels(name)
        self._adds = metrics.QUEUE_ADDS.labels(name)
        self._retries = metrics.QUEUE_RETRIES.labels(name)
        self._wait_seconds = metrics.QUEUE_WAIT.labels(name)
        self._work_seconds = metrics.QUEUE_WORK.labels(name)
        metrics.QUEUE_UNFINISHED.labels(name).set_function(lambda: sum(self._ages()))
        metrics.QUEUE_LONGEST.labels(name).set_function(self.longest_running_seconds)

    def add(self, key: Key, *, patient: bool = False) -> None:
        """Asks for the key to be worked on as soon as a worker is free.

        Args:
            patient: nothing is known to have changed, so whatever has goes first.
        """
        if key in self._added_at:
            if key in self._patient and not patient:
                del self._patient[key]
                self._urgent[key] = None
            return
        self._adds.inc()
        self._added_at[key] = self._timer.time()
        if key not in self._started_at:
            self._enqueue(key, self._patient if patient else self._urgent)

    def add_after(self, key: Key, seconds: float) -> None:
        """Adds the key later; of several such wishes for a key the soonest counts."""
        if seconds <= 0:
            self.add(key)
            return
        pending = self._delayed.get(key)
        if pending is not None:
            if pending.when() <= self._timer.time() + seconds:
                return
            pending.cancel()
        handle = self._timer.call_later(seconds, self._due, key)
        self._delayed[key] = handle  # type: ignore[assignment]  # loops return a TimerHandle

    def retry(self, key: Key) -> float:
        """Adds the key after its back-off and returns that, in seconds."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        seconds = min(FIRST_RETRY_SECONDS * 2.0 ** min(failures, 30), LONGEST_RETRY_SECONDS)
        seconds *= 0.5 + random.random() / 2  # noqa: S311  # spreads keys that failed together
        self._retries.inc()
        self.add_after(key, seconds)
        return seconds

    def forget(self, key: Key) -> None:
        """Ends the back-off of a key that succeeded."""
        self._failures.pop(key, None)

    async def get(self) -> Key:
        """Waits for a key to work on; `done` must follow."""
        await self._waiting.acquire()
        key, _ = (self._urgent or self._patient).popitem(last=False)
        self._tell_depth()
        now = self._timer.time()
        self._wait_seconds.observe(now - self._added_at.pop(key))
        self._started_at[key] = now
        return key

    def done(self, key: Key) -> None:
        """Ends the work on a key, and puts it back if it was added meanwhile."""
        self._work_seconds.observe(self._timer.time() - self._started_at.pop(key))
        if key in self._added_at:
            self._enqueue(key, self._urgent)

    def longest_running_seconds(self) -> float:
        """Age of the oldest work in progress; 0 when there is none."""
        return max(self._ages(), default=0.0)

    def _ages(self) -> list[float]:
        now = self._timer.time()
        return [now - started for started in list(self._started_at.values())]

    def _enqueue(self, key: Key, where: OrderedDict[Key, None]) -> None:
        where[key] = None
        self._waiting.release()
        self._tell_depth()

    def _tell_depth(self) -> None:
        self._depth.set(len(self._urgent) + len(self._patient))

    def _due(self, key: Key) -> None:
        self._delayed.pop(key, None)
        self.add(key)
