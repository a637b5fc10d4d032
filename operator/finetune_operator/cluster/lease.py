"""Takes the Lease, keeps it and gives it back; what it means is decided in domain/leadership.py.

Not the leader election of the kubernetes package: it measures by the wall clock, a request that
hangs outlasts its deadline, and it never gives the Lease back.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import datetime
from typing import Never, Protocol

from finetune_operator.cluster import metrics
from finetune_operator.cluster.client import Client
from finetune_operator.cluster.errors import ApiError, ConflictError
from finetune_operator.domain import leadership
from finetune_operator.domain.kinds import LEASE
from finetune_operator.domain.leadership import LOOK_SECONDS, RENEW_SECONDS, Candidate

ROUND_SECONDS = 4.0
"""Bound of a look and a write, their retries included: one that hangs leaves a leader the time for
another, and a server may take seconds to answer."""

_log = logging.getLogger(__name__)


class LeadershipLostError(Exception):
    """Another replica leads, or may by now: this one must not go on."""


class Leadership(Protocol):
    """Whether this process is the one that works."""

    def leads(self) -> bool:
        """Whether it may write at this moment."""
        ...

    def problem(self) -> str:
        """Why it can neither lead nor stand by, if so."""
        ...

    def progress_url(self) -> str:
        """Where the replica that leads takes progress; empty while none is known."""
        ...

    async def acquire(self, progress_url: str) -> None:
        """Returns when this process leads; others then find it under `progress_url`."""
        ...

    async def keep(self) -> Never:
        """Goes on leading for as long as it can; then raises LeadershipLostError."""
        ...

    async def release(self) -> None:
        """Lets another take over; to be called when nothing works any more."""
        ...


class Unopposed:
    """The only operator there is, as on a developer's machine."""

    def leads(self) -> bool:
        """Always."""
        return True

    def problem(self) -> str:
        """None."""
        return ""

    def progress_url(self) -> str:
        """Nobody else's."""
        return ""

    async def acquire(self, progress_url: str) -> None:
        """At once."""

    async def keep(self) -> Never:
        """For ever."""
        while True:
            await asyncio.Event().wait()

    async def release(self) -> None:
        """To nobody."""


class Election:
    """One of several replicas.

    Args:
        client: not the one that the work is done with: it must not wait for that one's connections.
        now: the time in UTC, for those who read the Lease.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        client: Client,
        namespace: str,
        name: str,
        identity: str,
        *,
        now: Callable[[], datetime],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._absent = leadership.absent(namespace, name)
        self._lease = self._absent
        self._title = f"Lease {namespace}/{name}"
        self._candidate = Candidate(identity)
        self._certain = False
        """Whether nothing has happened since a write that made the Lease ours."""
        self._problem = f"{self._title}: not read yet"
        self._progress_url = ""
        self._now = now
        self._clock = clock
        metrics.LEADING.labels(name).set_function(self.leads)

    def leads(self) -> bool:
        """See Leadership."""
        return self._clock() < self._candidate.leads_until

    def problem(self) -> str:
        """See Leadership."""
        return "" if self.leads() else self._problem

    def progress_url(self) -> str:
        """See Leadership."""
        record = self._candidate.record
        return record.progress_url if record and not self._candidate.holds else ""

    async def acquire(self, progress_url: str) -> None:
        """See Leadership."""
        self._progress_url = progress_url
        await self._round(ROUND_SECONDS)
        if not self.leads():
            _log.info("stands by: %s", self._problem or self._holder())
        while not self.leads():
            wait = self._candidate.free_at - self._clock()
            await asyncio.sleep(min(wait, LOOK_SECONDS) if wait > 0 else LOOK_SECONDS)
            await self._round(ROUND_SECONDS)
        _log.info("leads: %s", self._holder())

    async def keep(self) -> Never:
        """See Leadership."""
        while (left := self._candidate.leads_until - self._clock()) > 0:
            await asyncio.sleep(min(RENEW_SECONDS if self._certain else LOOK_SECONDS, left))
            if (left := self._candidate.leads_until - self._clock()) > 0:
                await self._round(min(ROUND_SECONDS, left))
        late = f"{self._title} was not renewed in time" if self._candidate.holds else self._holder()
        raise LeadershipLostError(f"leads no longer: {self._problem or late}")

    async def release(self) -> None:
        """See Leadership; never raises an ApiError."""
        if not self.leads():
            return
        self._candidate = self._candidate.stopped()
        try:
            async with asyncio.timeout(ROUND_SECONDS):
                if not self._certain:
                    await self._look()
                if self._candidate.holds:
                    await self._client.replace(leadership.released(self._lease))
        except (ApiError, TimeoutError) as error:
            _log.warning("%s was not released: %s", self._title, _words(error))
            return
        _log.info("released %s", self._title)

    async def _round(self, seconds: float) -> None:
        """Looks, unless the Lease is ours for certain, and writes it if that is allowed."""
        try:
            async with asyncio.timeout(seconds):
                if not self._certain:
                    await self._look()
                if self._candidate.free_at <= self._clock():
                    await self._write()
        except ConflictError:
            pass  # somebody was faster; who, the next look tells
        except (ApiError, TimeoutError) as error:
            problem = f"{self._title}: {_words(error)}"
            if problem != self._problem:
                _log.warning("%s", problem)
            self._problem = problem

    async def _look(self) -> None:
        namespace, name = (self._absent["metadata"][key] for key in ("namespace", "name"))
        found = await self._client.get(LEASE, namespace, name)
        self._lease = found or self._absent
        record = leadership.read(found) if found else None
        self._candidate = self._candidate.saw(record, self._clock())
        self._problem = ""

    async def _write(self) -> None:
        wanted = leadership.held(
            self._lease, self._candidate.identity, self._progress_url, self._now()
        )
        self._certain = False  # until it is answered; it may be cut off
        sent = self._clock()
        self._lease = await self._client.replace(wanted)
        record = leadership.read(self._lease)
        self._candidate = self._candidate.wrote(record, sent, self._clock())
        self._certain = True
        self._problem = ""

    def _holder(self) -> str:
        record = self._candidate.record
        return f"{self._title} is held by {record.holder if record else ''}"


def _words(error: Exception) -> str:
    return str(error) or "no answer in time"
