"""What happens below Kubernetes: processes killed and frozen, nodes and registry stopped."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
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


@contextlib.contextmanager
def registry_stopped() -> Iterator[None]:
    devcluster("registry", "stop")
    try:
        yield
    finally:
        devcluster("registry", "start")


@dataclass(frozen=True)
class Container:
    """The train container of a pod, as the container runtime of its node sees it."""

    socket: str
    identity: str

    @classmethod
    def of(cls, pod: Object) -> Container:
        node = pod["spec"]["nodeName"]
        (socket,) = (
            each["containerd"] for each in cluster_status()["nodes"] if each["name"] == node
        )
        (status,) = pod["status"]["containerStatuses"]
        return cls(socket, status["containerID"].removeprefix("containerd://"))

    def kill(self) -> None:
        """SIGKILL to its first process, and so to all of them."""
        self._task("kill", "--signal", "SIGKILL", self.identity)

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """None of its processes gets anywhere."""
        self._task("pause", self.identity)
        try:
            yield
        finally:
            self._task("resume", self.identity)

    def wait_ended(self, *, deadline: float) -> None:
        end = time.monotonic() + deadline
        while any(
            line.split()[0] == self.identity and line.split()[-1] != "STOPPED"
            for line in self._task("list").splitlines()
        ):
            assert time.monotonic() < end, f"container {self.identity} goes on after {deadline} s"
            time.sleep(0.5)  # containerd's client offers no wait for a task of another's

    def _task(self, *arguments: str) -> str:
        command = ["ctr", "--address", self.socket, "--namespace", "k8s.io", "tasks", *arguments]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert ended.returncode == 0, f"{' '.join(command)}: {ended.stderr}"
        return ended.stdout
