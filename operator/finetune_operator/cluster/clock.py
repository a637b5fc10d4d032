"""The time by which the cluster lives: the API server's.

What is compared with now was written down by somebody else: the replica that led before, on another
machine; the Job controller; a kubelet. A replica whose own clock is an hour behind would wait an
hour for a pause of ten seconds, one whose clock is ahead would take every token for expired. So the
clock of this machine is asked for nothing but the time before the first answer.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


class ServerClock:
    """Set by the Date of each answer; in between the monotonic clock, which never jumps, goes on.

    Args:
        local: the time in UTC, while the server has said none.
        monotonic: seconds.
    """

    def __init__(
        self,
        local: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._local = local
        self._monotonic = monotonic
        self._ahead: float | None = None
        """Of the monotonic clock, in seconds."""

    def heard(self, date: str | None, sent: float, received: float) -> None:
        """Takes the Date of an answer.

        It names the second in which the server answered, which was between those two times of the
        monotonic clock. What is known already is changed by no more than that contradicts it, so
        time goes on evenly.
        """
        try:
            second = parsedate_to_datetime(date or "").timestamp()
        except ValueError:
            return
        least, most = second - received, second + 1 - sent
        self._ahead = min(max(least if self._ahead is None else self._ahead, least), most)

    def now(self) -> datetime:
        """In UTC."""
        if self._ahead is None:
            return self._local()
        return datetime.fromtimestamp(self._ahead + self._monotonic(), UTC)
