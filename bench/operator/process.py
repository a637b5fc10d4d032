"""The real operator as a process, and what it takes."""

import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp
from tests.cluster.simulation.control_plane import ROOT, free_ports

_REQUESTS = re.compile(
    r'^rest_client_requests_total\{code="(\w+|<error>)",.*method="(\w+)"\} (.+)$'
)
START_SECONDS = 60.0


class Operator:
    """One of them at a time; a context manager."""

    def __init__(
        self, kubeconfig: Path, log: Path, settings: Mapping[str, str] | None = None
    ) -> None:
        self._log = log
        self._probes, self.progress_port, self._metrics = free_ports(3)
        environment = {
            **os.environ,
            "KUBECONFIG": str(kubeconfig),
            "FINETUNE_PROBE_PORT": str(self._probes),
            "FINETUNE_PROGRESS_PORT": str(self.progress_port),
            "FINETUNE_METRICS_PORT": str(self._metrics),
            "FINETUNE_RETAIL_PRICES_URL": "",
            "PYTHONPATH": os.pathsep.join([str(ROOT / "operator"), str(ROOT / "trainer_image")]),
            **(settings or {}),
        }
        command = [sys.executable, *profiled(log), "-m", "finetune_operator.runtime"]
        with log.open("wb") as output:
            self.started = time.monotonic()
            self._process = subprocess.Popen(
                command, stdout=output, stderr=output, env=environment, cwd=ROOT
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def resident_bytes(self) -> int:
        """What it has in memory now."""
        pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    @property
    def cpu_seconds(self) -> float:
        """What it has computed since it started."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    async def ready(self) -> bool:
        """Whether it says that it watches.

        Raises:
            RuntimeError: it has ended, with its last words.
        """
        if self._process.poll() is not None:
            raise RuntimeError(self._log.read_text(errors="replace")[-2000:])
        try:
            async with (
                aiohttp.ClientSession() as session,
                session.get(f"http://127.0.0.1:{self._probes}/readyz") as response,
            ):
                return response.status == 200
        except aiohttp.ClientError:
            return False

    async def requests(self) -> Counter[str]:
        """How many it has made so far, by method; without watches."""
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{self._metrics}/metrics") as response,
        ):
            text = await response.text()
        found: Counter[str] = Counter()
        for line in text.splitlines():
            if counted := _REQUESTS.match(line):
                found[counted[2]] += round(float(counted[3]))
        return found


def profiled(log: Path) -> list[str]:
    """BENCH_PROFILE=1 writes a profile of the operator beside its log, and slows it down."""
    if "BENCH_PROFILE" not in os.environ:
        return []
    return ["-m", "cProfile", "-o", str(log.with_suffix(".profile"))]
