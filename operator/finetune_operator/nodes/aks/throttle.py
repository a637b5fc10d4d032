"""When the next write of an agent pool may be sent, so that Azure need not refuse it.

Azure documents a bucket of 20 such writes, which gets one more each minute, for each agent pool.
It used to document one for all pools of a cluster. So nothing is held back until ARM refuses one;
from then on writes go one at a time, in the order in which they were wanted, as far apart as
`Retry-After` said, until the bucket must be full again.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

BUCKET = 20
_NO_SHOW_SECONDS = 120.0
"""How long after its turn a write is waited for; its job may be gone."""


@dataclass(slots=True)
class Throttle:
    """Of one cluster. Times are the caller's."""

    _pace: float = 0.0
    """Seconds between two writes; 0: ARM has refused none."""
    _opens: datetime | None = None
    _line: dict[str, datetime] = field(default_factory=dict)
    """Pools that wait, first come first, each with its turn."""

    def turn(self, pool: str, now: datetime) -> tuple[float, int]:
        """Seconds until a pool may be written, and how many others are before it; 0: now."""
        if self._opens is None or now - self._opens >= timedelta(seconds=BUCKET * self._pace):
            self._pace, self._opens, self._line = 0.0, None, {}
            return 0.0, 0
        patience = timedelta(seconds=_NO_SHOW_SECONDS)
        self._line = {
            name: due for name, due in self._line.items() if name == pool or now - due < patience
        }
        self._line.setdefault(pool, now)
        before = list(self._line).index(pool)
        wait = max(0.0, (self._opens - now).total_seconds()) + before * self._pace
        self._line[pool] = now + timedelta(seconds=wait)
        return wait, before

    def sent(self, pool: str, now: datetime) -> None:
        """A write was taken."""
        self._line.pop(pool, None)
        if self._opens is not None:
            self._opens = now + timedelta(seconds=self._pace)

    def refused(self, pool: str, now: datetime, retry_after: float) -> None:
        """ARM has answered 429."""
        self._pace = max(retry_after, 1.0)
        self._opens = now + timedelta(seconds=self._pace)
        self._line.setdefault(pool, self._opens)
