"""Watches the processes of a training from outside: memory of each rank, processor time of steps.

Linux: everything is read from /proc.
"""

import os
import threading
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.scenarios.table import EARLY_STEPS

_SECONDS = 0.05
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Steps:
    """Processor time at the end of the first step and of the latest one."""

    count: int = 0
    first_cpu: float = 0.0
    first_time: float = 0.0
    last_cpu: float = 0.0
    last_time: float = 0.0
    early_seconds: float | None = None
    """Of a step, as the first `EARLY_STEPS` tell it."""

    def at(self, count: int, cpu: float, time: float) -> None:
        if count == self.count:
            return
        if not self.count:
            self.first_cpu, self.first_time = cpu, time
        self.count, self.last_cpu, self.last_time = count, cpu, time
        if self.early_seconds is None and count >= EARLY_STEPS:
            self.early_seconds = self.seconds

    @property
    def seconds(self) -> float:
        """Of a step, the first left out."""
        return (self.last_time - self.first_time) / max(1, self.count - 1)

    @property
    def cpu_seconds(self) -> float:
        """Processor time of the same, over all threads and ranks."""
        return (self.last_cpu - self.first_cpu) / max(1, self.count - 1)


@dataclass
class Watch:
    """Processes that this one has started, and theirs, from entering to leaving."""

    metrics: Path
    """metrics.jsonl of the run: one line for each step."""
    peaks: dict[int, int] = field(default_factory=dict)
    """Highest RssAnon by rank, bytes."""
    steps: Steps = field(default_factory=Steps)
    started: list[int] = field(default_factory=list)
    """To be filled by who enters: each pid as soon as it is known."""
    _ended: threading.Event = field(default_factory=threading.Event)
    _cpu: dict[int, float] = field(default_factory=dict)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ended.wait(_SECONDS):
            for pid in chain.from_iterable(map(family, tuple(self.started))):
                try:
                    self._look_at(pid)
                except (OSError, ValueError, StopIteration):
                    continue  # it has ended meanwhile
            self.steps.at(_steps(self.metrics), sum(self._cpu.values()), _now())

    def _look_at(self, pid: int) -> None:
        environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        ranks = (each[5:] for each in environment if each.startswith(b"RANK="))
        rank = int(next(ranks, b"0"))
        self.peaks[rank] = max(self.peaks.get(rank, 0), resident(pid))
        self._cpu[pid] = processor_seconds(pid)


def family(pid: int) -> list[int]:
    """A process, its children, and theirs."""
    found = [pid]
    for each in found:
        try:
            for path in Path(f"/proc/{each}/task").glob("*/children"):
                found += map(int, path.read_text().split())
        except OSError:  # it, or one of its threads, has ended meanwhile
            continue
    return found


def resident(pid: int) -> int:
    """Anonymous resident memory, bytes."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("RssAnon:"))


def processor_seconds(pid: int) -> float:
    """User and system time of all threads."""
    text = Path(f"/proc/{pid}/stat").read_text()
    fields = text[text.rindex(")") :].split()
    return (int(fields[12]) + int(fields[13])) / _TICKS


def _steps(path: Path) -> int:
    try:
        return sum(b'"loss"' in line for line in path.read_bytes().splitlines())
    except OSError:
        return 0


def _now() -> float:
    return float(Path("/proc/uptime").read_text().split()[0])
