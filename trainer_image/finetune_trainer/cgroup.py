"""This container's memory: how much is left, and whether the kernel has killed for want of it."""

from dataclasses import dataclass
from pathlib import Path

_MEMORY_FILES = (
    ("", "memory.max", "memory.current", "file"),
    ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_cache"),
)
"""By version: controller, limit, usage, and what the statistics call cached files."""


@dataclass(frozen=True)
class Cgroup:
    """The cgroup of this process, version 1 or 2."""

    mount: Path = Path("/sys/fs/cgroup")
    membership: Path = Path("/proc/self/cgroup")
    machine: Path = Path("/proc/meminfo")

    def out_of_memory_kills(self) -> int:
        """How many processes of the cgroup were killed for want of memory so far."""
        text = self._read("", "memory.events") or self._read("memory", "memory.oom_control") or ""
        counts = dict(line.split() for line in text.splitlines())
        return int(counts.get("oom_kill", 0))

    def memory_limit(self) -> int:
        """Bytes that may be used: the machine's, or the cgroup's limit where there is a lower."""
        limits = [self._of_machine("MemTotal")]
        for controller, limit, _, _ in _MEMORY_FILES:
            limited = self._read(controller, limit) or ""
            if limited.isdigit():
                limits.append(int(limited))
        return min(limits)

    def memory_left(self) -> int:
        """Bytes that can still be taken: of the machine, and of the cgroup where it has a limit.
        What only caches files counts as free."""
        left = [self._of_machine("MemAvailable")]
        for controller, limit, usage, cached in _MEMORY_FILES:
            limited = self._read(controller, limit) or ""
            used = self._read(controller, usage) or ""
            if limited.isdigit() and used.isdigit():
                text = self._read(controller, "memory.stat") or ""
                statistics = dict(line.split() for line in text.splitlines())
                left.append(int(limited) - int(used) + int(statistics.get(cached, 0)))
        return min(left)

    def _of_machine(self, what: str) -> int:
        lines = (line.split(":") for line in self.machine.read_text().splitlines())
        known = {name: int(value.split()[0]) * 1024 for name, value in lines}
        return known[what]

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
