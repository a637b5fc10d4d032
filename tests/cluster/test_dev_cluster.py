"""The development cluster itself: a second one, beside the one that the other tests use."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
NAME = "finetune-dev-test"
ENVIRONMENT = {key: value for key, value in os.environ.items() if key != "KUBECONFIG"}
ENVIRONMENT |= {"DEVCLUSTER_NAME": NAME, "CLUSTER": "dev"}

POD = """
apiVersion: v1
kind: Pod
metadata: {name: NAME, namespace: default}
spec:
  nodeName: NODE
  terminationGracePeriodSeconds: 0
  containers: [{name: sleep, image: "localhost/devcluster/busybox:1"}]
"""

CLAIM = """
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: kept, namespace: default}
spec:
  accessModes: [ReadWriteMany]
  storageClassName: shared
  resources: {requests: {storage: 1Mi}}
---
apiVersion: v1
kind: Pod
metadata: {name: kept, namespace: default}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: sleep
    image: localhost/devcluster/busybox:1
    volumeMounts: [{name: data, mountPath: /data}]
  volumes: [{name: data, persistentVolumeClaim: {claimName: kept}}]
"""

ASKED_AGAIN = """
for _ in $(seq 60); do kubectl get --raw /readyz && exit; sleep 1; done; exit 1
"""

EMPTY_NODE = """
apiVersion: v1
kind: Node
metadata: {name: simulated}
spec: {taints: [{key: simulated, effect: NoSchedule}]}
"""


def devcluster(
    *arguments: str, stdin: str = "", status: int = 0, **environment: str
) -> subprocess.CompletedProcess[str]:
    ended = subprocess.run(
        [ROOT / "dev/cluster/devcluster", *arguments],
        input=stdin,
        env=ENVIRONMENT | environment,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert ended.returncode == status, ended.stdout + ended.stderr
    return ended


def kubectl(*arguments: str, stdin: str = "") -> str:
    return devcluster("exec", "--", "kubectl", *arguments, stdin=stdin).stdout


def report(status: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(devcluster("status", "--json", status=status).stdout)
    return found


def process_id(name: str) -> int:
    return next(int(process["pid"]) for process in report()["processes"] if process["name"] == name)


def run_pod(name: str, node: str) -> None:
    kubectl("apply", "-f", "-", stdin=POD.replace("NAME", name).replace("NODE", node))
    kubectl("wait", "--for=condition=Ready", f"pod/{name}", "--timeout=60s")


def left_behind(namespaces: set[str]) -> list[str]:
    """What a cluster of our name has left on this machine."""
    found = [str(path) for path in Path("/sys/fs/cgroup").glob(f"**/{NAME}*")]
    found += [line for line in Path("/proc/1/mounts").read_text().splitlines() if NAME in line]
    found += [str(path) for path in Path("/run").glob(NAME)]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            inside = {str((process / "ns/net").readlink()), str((process / "ns/pid").readlink())}
        except OSError:
            continue  # it ended, or has no namespaces any more
        if inside & namespaces:
            found.append((process / "cmdline").read_text().replace("\0", " "))
    return found


def namespaces_of(process: int) -> set[str]:
    return {
        str(Path(f"/proc/{process}/ns/{kind}").readlink()) for kind in ("net", "pid_for_children")
    }


@pytest.fixture(scope="module")
def second_cluster() -> Iterator[None]:
    devcluster("up")
    yield
    devcluster("down")


def test_nodes_come_go_and_fall_silent(second_cluster: None) -> None:
    devcluster("node", "add", "second", "--label", "pool=a", "--taint", "only=a:NoSchedule")
    found = json.loads(kubectl("get", "node", "second", "--output=json"))
    assert found["metadata"]["labels"]["pool"] == "a"
    assert {"key": "only", "value": "a", "effect": "NoSchedule"} in found["spec"]["taints"]
    run_pod("there", "second")

    devcluster("node", "stop-kubelet", "second")
    kubectl("wait", "--for=condition=Ready=Unknown", "node/second", "--timeout=60s")
    containers = devcluster(
        "exec",
        "--",
        "ctr",
        "--address",
        f"/run/{NAME}/second/containerd.sock",
        "--namespace",
        "k8s.io",
        "tasks",
        "list",
    ).stdout
    assert containers.count("RUNNING") == 2, (
        "the pod's container and its sandbox outlive the kubelet"
    )

    devcluster("node", "start-kubelet", "second")
    kubectl("wait", "--for=condition=Ready", "node/second", "--timeout=60s")

    devcluster("node", "remove", "second")
    assert kubectl("get", "nodes", "--output=name").split() == ["node/first"]
    assert not list(Path("/sys/fs/cgroup").glob(f"*/{NAME}/second*"))


def test_volumes_are_removed_on_a_node_that_has_a_kubelet(second_cluster: None) -> None:
    """The provisioner's helper pods tolerate every taint, those of simulated nodes too."""
    kubectl("apply", "-f", "-", stdin=CLAIM)
    kubectl("wait", "--for=condition=Ready", "pod/kept", "--timeout=60s")
    kubectl("apply", "-f", "-", stdin=EMPTY_NODE)
    # The scheduler prefers it: all its room is free.
    room = {"cpu": "64", "memory": "256Gi", "pods": "500"}
    ready = {"type": "Ready", "status": "True"}
    status = {"status": {"capacity": room, "allocatable": room, "conditions": [ready]}}
    patch = ["--subresource=status", "--type=merge", "--patch", json.dumps(status)]
    kubectl("patch", "node/simulated", *patch)
    kubectl("wait", "--for=condition=Ready", "node/simulated", "--timeout=10s")

    kubectl("delete", "pod/kept", "persistentvolumeclaim/kept", "--timeout=60s")
    kubectl("wait", "--for=delete", "persistentvolume", "--all", "--timeout=60s")
    kubectl("delete", "node/simulated")


@contextlib.contextmanager
def shell() -> Iterator[subprocess.Popen[str]]:
    """Somebody who is in the cluster, and stays."""
    command = [ROOT / "dev/cluster/devcluster", "exec", "--", "sh", "-c", "echo in; exec sleep 600"]
    with subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True) as open_one:
        assert open_one.stdout
        assert open_one.stdout.readline() == "in\n"
        try:
            yield open_one
        finally:
            open_one.kill()


def weight(group: Path) -> int:
    """Of the processors, among the groups beside it."""
    (file,) = (path for name in ("cpu.shares", "cpu.weight") if (path := group / name).exists())
    return int(file.read_text())


def test_busy_pods_starve_neither_the_api_server_nor_its_clients(second_cluster: None) -> None:
    (pods,) = (
        node
        for kind in ("cpu.shares", "cpu.weight")
        for file in Path("/sys/fs/cgroup").glob(f"**/{NAME}/first/{kind}")
        for node in [file.parent]
    )
    system = pods.parent / "system"
    running = set((system / "cgroup.procs").read_text().split())
    assert {str(process_id(name)) for name in ("etcd", "kube-apiserver")} <= running
    assert weight(system) >= 10 * weight(pods)

    with shell() as client:
        (clients,) = (
            group
            for group in pods.parent.parent.glob(f"{NAME}.*")
            if str(client.pid) in (group / "cgroup.procs").read_text().split()
        )
        assert weight(clients) == weight(pods.parent)


def test_a_killed_control_plane_comes_back_with_all_that_it_knew(second_cluster: None) -> None:
    kubectl("create", "configmap", "kept", "--namespace=default")
    for name in ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"):
        before = process_id(name)
        devcluster("kill", name)
        assert process_id(name) != before
        # Until it answers, kubectl is refused: it is asked again within a minute.
        devcluster("exec", "--", "sh", "-c", ASKED_AGAIN)
    assert kubectl("get", "configmap", "kept", "--namespace=default", "--output=name")
    assert "usage" in devcluster("kill", "registry", status=1).stderr


def test_an_external_cluster_gets_only_the_chosen_context(second_cluster: None) -> None:
    ours = report()["kubeconfig"]
    context = {"CLUSTER": "external", "CLUSTER_CONTEXT": "finetune-dev-test", "KUBECONFIG": ours}
    seen = devcluster("exec", "--", "kubectl", "config", "get-contexts", "--output=name", **context)
    assert seen.stdout == "finetune-dev-test\n"


def test_up_repairs_what_kill_broke_and_down_leaves_nothing(second_cluster: None) -> None:
    run_pod("before", "first")
    before = process_id("kube-scheduler")
    assert "up already" in devcluster("up").stdout
    assert process_id("kube-scheduler") == before

    for name in ("containerd-first", "etcd", "kubelet-first"):
        os.kill(process_id(name), signal.SIGKILL)
    assert "killed" in report()["problem"]
    assert "starting again from nothing" in devcluster("up").stdout
    assert kubectl("get", "pods", "--output=name") == "", "etcd begins empty"
    run_pod("after", "first")

    supervisor = report()["supervisor"]
    namespaces = namespaces_of(supervisor)
    assert len(left_behind(namespaces)) > 10, "the search below would find a cluster"
    with shell():
        os.kill(supervisor, signal.SIGKILL)
        devcluster("down")
    assert left_behind(namespaces) == []
    devcluster("down")
    assert "not running" in devcluster("status", status=1).stderr


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"CLUSTER": "external"}, "CLUSTER=external needs CLUSTER_CONTEXT"),
        ({"CLUSTER": "external", "CLUSTER_CONTEXT": "absent"}, "no context 'absent'"),
        ({"CLUSTER": "kind", "KIND_NAME": "absent"}, "no context 'kind-absent'"),
    ],
)
def test_a_cluster_of_ones_own_is_asked_for_by_name(
    environment: dict[str, str], said: str, tmp_path: Path
) -> None:
    refused = devcluster(
        "exec", "--", "true", status=1, KUBECONFIG=str(tmp_path / "config"), **environment
    )
    assert refused.stderr.startswith(f"devcluster: {said}")
    assert refused.stderr.count("\n") == 1


def test_without_root_one_line_says_what_to_do() -> None:
    refused = subprocess.run(
        ["python3", ROOT / "dev/cluster/devcluster", "up"],
        user=65534,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert refused.returncode == 1
    assert refused.stderr.startswith("devcluster: this cluster needs root")
    assert refused.stderr.count("\n") == 1
