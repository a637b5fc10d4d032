"""The real operator as a process outside the cluster, started anew within a blink.

A parent process imports everything once; each start is a fork of it, so that the tests can kill
an operator a hundred times and still end.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

_PARENT = """
import os, signal, sys
from finetune_operator.runtime.main import main
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
print("ready", flush=True)
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        sys.stdin.close()
        os.dup2(2, 1)
        main()
        os._exit(0)
    print(child, flush=True)
"""


class OperatorProcess:
    """At most one operator at a time, speaking to the API server of the kubeconfig."""

    def __init__(self, kubeconfig: Path, log: Path, settings: Mapping[str, str]) -> None:
        environment = {
            **os.environ,
            "KUBECONFIG": str(kubeconfig),
            "FINETUNE_PROBE_PORT": "0",
            "FINETUNE_PROGRESS_PORT": "0",
            "FINETUNE_METRICS_PORT": "0",
            "FINETUNE_RETAIL_PRICES_URL": "",
            "PYTHONPATH": os.pathsep.join(["operator", "trainer_image"]),
            **settings,
        }
        self._log = log.open("ab")
        self._parent = subprocess.Popen(
            [sys.executable, "-c", _PARENT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=environment,
            cwd=Path(__file__).parents[3],
        )
        self.pid = 0
        self.starts = 0
        assert self._read() == "ready"

    def start(self) -> None:
        assert self._parent.stdin is not None
        self._parent.stdin.write(b"start\n")
        self._parent.stdin.flush()
        self.pid = int(self._read())
        self.starts += 1

    def kill(self) -> None:
        """kill -9."""
        if self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            self.pid = 0

    def resident_bytes(self) -> int:
        """Memory of the running operator, as the kernel counts it."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def close(self) -> None:
        self.kill()
        self._parent.kill()
        self._parent.wait(timeout=10)
        for pipe in (self._parent.stdin, self._parent.stdout):
            if pipe is not None:
                pipe.close()
        self._log.close()

    def _read(self) -> str:
        assert self._parent.stdout is not None
        return self._parent.stdout.readline().decode().strip()
