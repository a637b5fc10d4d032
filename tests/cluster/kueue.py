"""Kueue itself, as its own chart installs it; there only while a test asks for it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.cluster.conftest import DEVCLUSTER
from tests.cluster.kube import Kube, KubectlError, Object, restricted

NAMESPACE = "kueue-system"
API = "kueue.x-k8s.io/v1beta2"
QUEUE = "kueue.x-k8s.io/queue-name"
PRIORITY = "kueue.x-k8s.io/priority-class"

CONFIGURATION = {
    "apiVersion": "config.kueue.x-k8s.io/v1beta2",
    "kind": "Configuration",
    "health": {"healthProbeBindAddress": ":8081"},
    "metrics": {"bindAddress": ":8443"},
    "webhook": {"port": 9443},
    "manageJobsWithoutQueueName": False,
    "integrations": {"frameworks": ["batch/job"]},
}
VALUES = {
    "controllerManager": {
        "manager": {
            "image": {
                "repository": "localhost/devcluster/kueue",
                "tag": "1",
                "pullPolicy": "Never",
            },
            "resources": {"requests": {"cpu": "50m", "memory": "128Mi"}},
        },
        "readinessProbe": {"initialDelaySeconds": 1, "periodSeconds": 1},
    },
    "managerConfig": {"controllerManagerConfigYaml": yaml.safe_dump(CONFIGURATION)},
}


@pytest.fixture
def kueue() -> Iterator[None]:
    """Kueue manages the Jobs that name a queue, and no others."""
    if os.environ.get("CLUSTER", "dev") != "dev":
        pytest.skip("Kueue is built for the cluster of CLUSTER=dev only")
    # A no-op after `make test-cluster`, which has built it.
    folder = Path(_devcluster("build", "kueue", timeout=1200).strip().splitlines()[-1])
    _devcluster("import", str(folder / "image.tar"), timeout=120)
    Kube("").apply(restricted(NAMESPACE))
    values = ["--values", "-", "--wait", "--timeout", "3m"]
    _helm("upgrade", "--install", "kueue", str(folder / "chart"), *values, stdin=json.dumps(VALUES))
    try:
        _answers(Kube(""))
        yield
    finally:
        _helm("uninstall", "kueue", "--wait", "--timeout", "2m")
        Kube("").delete("namespace", NAMESPACE, wait=120)


def _answers(kube: Kube) -> None:
    """Kueue is ready a moment before each node knows where its webhooks are."""
    tried = json.dumps(_typed("ResourceFlavor", "tried"))
    deadline = time.monotonic() + 60
    while True:
        try:
            kube.run("apply", "--dry-run=server", "-f", "-", stdin=tried)
        except KubectlError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
        else:
            return


@contextlib.contextmanager
def queue(kube: Kube, name: str, cpu: str) -> Iterator[str]:
    """A queue of the namespace with that quota, in which a higher priority preempts a lower one.

    Gives the name of a WorkloadPriorityClass above the default. At the end no Job may be left.
    """
    whole = f"{name}-{kube.namespace}"  # names of what is not in the namespace
    flavor = {"name": whole, "resources": [{"name": "cpu", "nominalQuota": cpu}]}
    of_cluster = [
        _typed("ResourceFlavor", whole),
        _typed("WorkloadPriorityClass", whole, value=1000),
        _typed(
            "ClusterQueue",
            whole,
            spec={
                "namespaceSelector": {},
                "resourceGroups": [{"coveredResources": ["cpu"], "flavors": [flavor]}],
                "preemption": {"withinClusterQueue": "LowerPriority"},
            },
        ),
    ]
    local = _typed("LocalQueue", name, spec={"clusterQueue": whole})
    Kube("").apply(*of_cluster)
    kube.apply(local)
    try:
        yield whole
    finally:
        # While Kueue is there: it holds them by finalizers.
        kube.run("delete", "finetunejobs", "--all", "--timeout=60s", timeout=90)
        for resource in ("jobs.batch", "workloads.kueue.x-k8s.io", "localqueues.kueue.x-k8s.io"):
            kube.run("delete", resource, "--all", "--timeout=60s", timeout=90)
        for each in reversed(of_cluster):
            Kube("").delete(f"{each['kind'].lower()}.kueue.x-k8s.io", whole, wait=60)


def _typed(kind: str, name: str, **fields: object) -> Object:
    return {"apiVersion": API, "kind": kind, "metadata": {"name": name}, **fields}


def _devcluster(*arguments: str, timeout: float) -> str:
    ended = subprocess.run(
        [DEVCLUSTER, *arguments], capture_output=True, text=True, timeout=timeout, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def _helm(*arguments: str, stdin: str = "") -> None:
    command = ["helm", "--namespace", NAMESPACE, *arguments]
    ended = subprocess.run(
        command, input=stdin, capture_output=True, text=True, timeout=240, check=False
    )
    assert ended.returncode == 0, f"{' '.join(command)}: {ended.stderr}"
