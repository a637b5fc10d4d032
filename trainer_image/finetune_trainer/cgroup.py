"""What the container's cgroup allows, in version 1 and version 2."""

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Cgroup:
    """The cgroup of this process."""

    mount: Path = Path("/sys/fs/cgroup")
    membership: Path = Path("/proc/self/cgroup")

    def processors(self) -> float | None:
        """The CPU quota in processors; None without one."""
        if (maximum := self._read("", "cpu.max")) is not None:
            quota, period = maximum.split()
            return None if quota == "max" else int(quota) / int(period)
        quota_v1 = self._read("cpu", "cpu.cfs_quota_us")
        period_v1 = self._read("cpu", "cpu.cfs_period_us")
        if quota_v1 is None or period_v1 is None or int(quota_v1) <= 0:
            return None
        return int(quota_v1) / int(period_v1)

    def out_of_memory_kills(self) -> int:
        """How many processes of the cgroup were killed for want of memory so far."""
        text = self._read("", "memory.events") or self._read("memory", "memory.oom_control") or ""
        counts = dict(line.split() for line in text.splitlines())
        return int(counts.get("oom_kill", 0))

    def _read(self, controller: str, name: str) -> str | None:
        """A file of the controller (version 1) or of the single hierarchy (controller "")."""
        folder = self.mount / controller
        # Inside a container the mount is usually its own cgroup; on a host the path leads to it.
        for candidate in (folder / self._path(controller).lstrip("/") / name, folder / name):
            try:
                return candidate.read_text().strip()
            except OSError:
                continue
        return None

    def _path(self, controller: str) -> str:
        try:
            lines = self.membership.read_text().splitlines()
        except OSError:
            return ""
        for line in lines:
            _, controllers, path = line.split(":", 2)
            if controller in controllers.split(","):
                return path
        return ""


def threads_per_process(processes: int) -> int:
    """Threads that each of some training processes may use without exceeding the quota."""
    allowed = float(len(os.sched_getaffinity(0)))
    quota = Cgroup().processors()
    return max(1, int(min(allowed, quota or allowed) / processes))
