"""Azure's throttle: a bucket of requests that is filled up at a steady rate."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime


@dataclass
class Bucket:
    """Full at first."""

    size: float
    seconds: float
    """For one more request."""
    left: float | None = None
    at: datetime | None = None

    def take(self, now: datetime) -> int:
        """0, or for how many seconds the caller has to leave the server alone."""
        if self.left is None or self.at is None:
            self.left = self.size
        else:
            grown = (now - self.at).total_seconds() / self.seconds
            self.left = min(self.size, self.left + grown)
        self.at = now
        if self.left >= 1 - 1e-9:
            self.left -= 1
            return 0
        return math.ceil((1 - self.left) * self.seconds)
