"""What trainers print, read from the node's disk: no API server is needed, and no pod."""

from __future__ import annotations

import asyncio
import re
from collections import defaultdict
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from tests.cluster.resilience.trainer_log import Steps

POLL_SECONDS = 0.3
_POD = re.compile(r"^[^_]+_(?P<job>.+)-train-(?P<attempt>\d+)-0-[a-z0-9]+_")


class PodLogs:
    """Keeps the log of each training pod open, so that it outlives the pod."""

    def __init__(self, nodes: Path, namespace: str) -> None:
        self._nodes = nodes
        self._namespace = namespace
        self._open: dict[Path, TextIO] = {}
        self._begun: defaultdict[Path, str] = defaultdict(str)
        """The beginning of a line whose end is not written yet."""
        self._steps: defaultdict[str, dict[int, Steps]] = defaultdict(dict)

    async def follow(self) -> None:
        """Runs for ever."""
        while True:
            self.read()
            await asyncio.sleep(POLL_SECONDS)

    def read(self) -> None:
        """All that was printed until now."""
        pattern = f"*/pod-logs/{self._namespace}_*-train-*/train/*.log"
        for path in self._nodes.glob(pattern):
            if path not in self._open:
                with suppress(FileNotFoundError):  # it has just been removed
                    self._open[path] = path.open()
        for path, file in self._open.items():
            found = _POD.match(path.parent.parent.name)
            assert found, path
            steps = self._steps[found["job"]].setdefault(int(found["attempt"]), Steps())
            *lines, self._begun[path] = (self._begun[path] + file.read()).split("\n")
            for line in lines:
                steps.take(line)

    def attempts(self, job: str) -> dict[int, Steps]:
        """What rank 0 of each attempt trained, by its number, if it trained anything."""
        return {number: steps for number, steps in sorted(self._steps[job].items()) if steps.losses}

    def step(self, job: str) -> int:
        """The highest that was ever trained."""
        return max((each.last for each in self.attempts(job).values()), default=0)

    def close(self) -> None:
        for file in self._open.values():
            file.close()
