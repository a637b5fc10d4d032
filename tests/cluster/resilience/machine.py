"""What happens below Kubernetes: processes killed and frozen, nodes and registry stopped."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster.conftest import DEVCLUSTER
from tests.cluster.kube import Object

NODE = "second"


def devcluster(*arguments: str) -> str:
    """Standard output of `devcluster ARGUMENTS`; AssertionError with its complaint."""
    ended = subprocess.run(
        [DEVCLUSTER, *arguments], capture_output=True, text=True, timeout=180, check=False
    )
    assert ended.returncode == 0, f"devcluster {' '.join(arguments)}: {ended.stderr}"
    return ended.stdout


def cluster_status() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(devcluster("status", "--json"))
    return found


@contextlib.contextmanager
def second_node() -> Iterator[str]:
    """The name of a second real node, which is gone afterwards."""
    if NODE not in {node["name"] for node in cluster_status()["nodes"]}:
        devcluster("node", "add", NODE)
    try:
        yield NODE
    finally:
        devcluster("node", "remove", NODE)


@contextlib.contextmanager
def kubelet_stopped(node: str) -> Iterator[None]:
    """As when a machine is lost to the cluster; its containers go on."""
    devcluster("node", "stop-kubelet", node)
    try:
        yield
    finally:
        devcluster("node", "start-kubelet", node)


def kill_control_plane(process: str) -> None:
    """kill -9; it is started again at once, and answers some seconds later."""
    devcluster("kill", process)


@contextlib.contextmanager
def registry_stopped() -> Iterator[None]:
    devcluster("registry", "stop")
    try:
        yield
    finally:
        devcluster("registry", "start")


@dataclass(frozen=True)
class Container:
    """The processes of the train container of a pod.

    They get signals from here: to ask the container runtime of a busy machine takes longer than a
    short training, and its pause fails there. With control groups of version 1 it gives up where a
    process did not come to run, and so to freeze, within 0.2 s.
    """

    group: Path
    """Their control group."""

    @classmethod
    def of(cls, pod: Object) -> Container:
        node = pod["spec"]["nodeName"]
        (root,) = (each["cgroupRoot"] for each in cluster_status()["nodes"] if each["name"] == node)
        (status,) = pod["status"]["containerStatuses"]
        identity = status["containerID"].removeprefix("containerd://")
        place = f"kubepods/{pod['status']['qosClass'].lower()}/pod{pod['metadata']['uid']}"
        version_1 = Path("/sys/fs/cgroup/pids")
        mounted = version_1 if version_1.exists() else version_1.parent
        return cls(mounted / root.lstrip("/") / place / identity)

    def kill(self) -> bool:
        """Whether there was anything left to kill."""
        processes = self._processes()
        _send(signal.SIGKILL, processes)
        return bool(processes)

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """None of its processes gets anywhere."""
        processes = self._processes()
        assert processes, f"{self.group} has ended"
        _send(signal.SIGSTOP, processes)
        try:
            yield
        finally:
            _send(signal.SIGCONT, processes)

    def wait_ended(self, *, deadline: float) -> None:
        end = time.monotonic() + deadline
        while self._processes():
            assert time.monotonic() < end, f"{self.group} goes on after {deadline} s"
            time.sleep(0.5)  # the kernel tells nobody of the end of another's child

    def _processes(self) -> list[int]:
        """As they are numbered here, outside of the cluster's own process namespace."""
        try:
            numbers = (self.group / "cgroup.procs").read_text().split()
        except FileNotFoundError:  # its runtime has cleared it away
            return []
        return [int(number) for number in numbers]


def _send(number: signal.Signals, processes: Sequence[int]) -> None:
    for process in processes:
        with contextlib.suppress(ProcessLookupError):  # it has ended, maybe with the first of them
            os.kill(process, number)
