"""How many processors this container may use: torch would start a thread for each of the node's."""

import math
import os
from pathlib import Path

_V2 = Path("/sys/fs/cgroup/cpu.max")
_V1_QUOTA = Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us")
_V1_PERIOD = Path("/sys/fs/cgroup/cpu/cpu.cfs_period_us")


def usable() -> int:
    """Processors by affinity and cgroup limit, rounded up, at least one."""
    allowed = len(os.sched_getaffinity(0))
    limit = _limit()
    return allowed if limit is None else max(1, min(allowed, math.ceil(limit)))


def _limit() -> float | None:
    """The cgroup's limit in processors, version 2 or 1; None without one."""
    if _V2.exists():
        return parse_v2(_V2.read_text())
    if _V1_QUOTA.exists():
        return parse_v1(_V1_QUOTA.read_text(), _V1_PERIOD.read_text())
    return None


def parse_v2(text: str) -> float | None:
    """`max 100000` or `150000 100000`: quota and period in microseconds."""
    quota, period = text.split()
    return None if quota == "max" else int(quota) / int(period)


def parse_v1(quota: str, period: str) -> float | None:
    """A quota of -1 is none."""
    return None if int(quota) < 0 else int(quota) / int(period)
