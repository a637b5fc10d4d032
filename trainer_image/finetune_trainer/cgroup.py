"""Whether the kernel has killed processes of this container for want of memory."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Cgroup:
    """The cgroup of this process, version 1 or 2."""

    mount: Path = Path("/sys/fs/cgroup")
    membership: Path = Path("/proc/self/cgroup")

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
