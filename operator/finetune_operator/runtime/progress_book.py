"""The latest progress of each training job, kept in memory until the reconciler writes it down.

Losing it with the process loses nothing: the trainer posts its newest again within seconds.
"""

import time
from collections.abc import Callable

from finetune_operator.runtime.controller import Key
from finetune_trainer.manifest import Progress

JOB_SECONDS = 10.0
"""Least time between two writes of a job's progress."""

WRITES_PER_SECOND = 20.0
"""Writes of progress over all jobs; with more than 200 jobs training, each is written less."""

BURST_SECONDS = 1.0
"""So much of that rate may be used at once."""


class ProgressBook:
    """Takes posts at any rate, and asks for a reconciliation when the next write is due."""

    def __init__(
        self, wake: Callable[[Key, float], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._wake = wake
        self._clock = clock
        self._latest: dict[Key, Progress] = {}
        self._first: dict[Key, float] = {}
        """When the latest was posted first."""
        self._last: dict[Key, float] = {}
        """When it was posted last."""
        self._free_at = float("-inf")
        """When the next first report of a job may be written."""

    @property
    def seconds_between_writes(self) -> float:
        """The interval of each job at the present number of training jobs."""
        return max(JOB_SECONDS, len(self._latest) / WRITES_PER_SECOND)

    def post(self, key: Key, progress: Progress) -> bool:
        """Takes what a trainer says; False if it is older than what is known."""
        known = self._latest.get(key)
        if known == progress:
            self._last[key] = self._clock()
            return True
        if known and (progress.attempt, progress.step) < (known.attempt, known.step):
            return False
        if known is None or known.attempt != progress.attempt:
            self._wake(key, self._turn_of_a_first())
        else:
            self._wake(key, self.seconds_between_writes)
        self._latest[key] = progress
        self._first[key] = self._last[key] = self._clock()
        return True

    def _turn_of_a_first(self) -> float:
        """Seconds from now: at once, unless very many begin together, as for an operator that has
        just been started over a thousand that train."""
        now = self._clock()
        self._free_at = max(now - BURST_SECONDS, self._free_at) + 1 / WRITES_PER_SECOND
        return max(0.0, self._free_at - now)

    def get(self, key: Key) -> Progress | None:
        """The latest of a job."""
        return self._latest.get(key)

    def unchanged_seconds(self, key: Key) -> float:
        """For how long the latest has been posted again and again, up to its last time."""
        return self._last.get(key, 0.0) - self._first.get(key, 0.0)

    def forget(self, key: Key) -> None:
        """The job is not training (any more)."""
        for each in (self._latest, self._first, self._last):
            each.pop(key, None)
