"""What every cluster test stands on.

Run inside the cluster's network namespace: `dev/cluster/devcluster exec -- pytest tests/cluster`
(`make test` does). The operator is installed once by Helm, as a user does it. Every test gets its
own namespace, which enforces the restricted Pod Security profile; on failure its objects, events
and logs are printed; afterwards the namespace must go away, which it does while the next test runs.

Most tests only wait for pods, so that several processes can run them; those marked `exclusive` do
not bear others beside them, except those marked `apart`, which share nothing with anybody.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from xdist.scheduler import LoadScopeScheduling

from tests.cluster.kube import Kube, KubectlError, restricted
from tests.cluster.simulation.control_plane import ControlPlane, control_plane

ROOT = Path(__file__).parents[2]
DEVCLUSTER = ROOT / "dev/cluster/devcluster"
OPERATOR_NAMESPACE = "finetune-system"
NAMESPACE_GONE_WITHIN = 180  # s: a trainer's termination grace is 120 s

APART = "tests/cluster/apart/"
"""Of files whose tests are all apart."""

failed = pytest.StashKey[bool]()


def pytest_configure(config: pytest.Config) -> None:
    for marker in (
        "exclusive: takes nodes, registry or operator from others; beside it run those apart only",
        "apart: brings a control plane of its own; bears all that leaves it some time to compute",
        "first: runs before all others that are exclusive",
        "last: judges the whole run; runs after all others",
    ):
        config.addinivalue_line("markers", marker)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def place(item: pytest.Item) -> int:
        return bool(item.get_closest_marker("last")) - bool(item.get_closest_marker("first"))

    items.sort(key=place)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling | None:
    """With `--dist=loadscope`: one process for all that is exclusive, the others for what is apart,
    a file at a time."""
    return _OneAndOthers(config, log) if config.getvalue("dist") == "loadscope" else None


class _OneAndOthers(LoadScopeScheduling):
    def _split_scope(self, nodeid: str) -> str:
        return nodeid.partition("::")[0] if nodeid.startswith(APART) else "exclusive"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    item.stash[failed] = item.stash.get(failed, False) or report.failed
    return report


@pytest.fixture(scope="session")
def cluster() -> dict[str, Any]:
    """`devcluster status --json` of the cluster that we are inside."""
    status = subprocess.run(
        [DEVCLUSTER, "status", "--json"], capture_output=True, text=True, timeout=60, check=False
    )
    if status.returncode != 0:
        pytest.exit(f"no cluster: run `make cluster-up` first ({status.stderr.strip()})", 2)
    found: dict[str, Any] = json.loads(status.stdout)
    return found


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """Of this process alone, with controllers; its nodes are simulated."""
    with control_plane(tmp_path_factory.mktemp("plane"), controllers=True) as made:
        yield made


@pytest.fixture(scope="session")
def images() -> Path:
    """The values file that `make images` writes: every image by its digest."""
    path = ROOT / "build/images.json"
    if not path.exists():
        pytest.exit("no images: run `make images` first", 2)
    return path


def helm(*arguments: str, timeout: float = 300) -> str:
    """Standard output of `helm ARGUMENTS`; AssertionError with its complaint when it fails."""
    command = ["helm", "--namespace", OPERATOR_NAMESPACE, *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    assert ended.returncode == 0, f"{' '.join(map(str, command))}: {ended.stderr}"
    return ended.stdout


def install(images: Path, *more: str) -> str:
    """Installs or upgrades as docs/helm.md says, over whatever earlier runs have left."""
    leftovers = ("--take-ownership", "--force-conflicts")
    return helm(
        "upgrade", "--install", "finetune-operator", str(ROOT / "charts/finetune-operator"),
        "--create-namespace", "--values", str(images), "--wait", "--timeout", "4m",
        "--set", "retailPricesURL=",  # tests ask nobody outside
        *leftovers, *more,
    )  # fmt: skip


@pytest.fixture(scope="session")
def operator(cluster: dict[str, Any], images: Path) -> Kube:
    """The operator, installed by Helm and ready; kubectl in its namespace."""
    with FileLock(images.with_suffix(".lock"), timeout=300):  # of all processes that test
        install(images)
    return Kube(OPERATOR_NAMESPACE)


NUMBERS = itertools.count(1)
"""Of the namespaces of this session."""


class Departures:
    """Namespaces that are being deleted while other tests run."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def add(self, kube: Kube) -> None:
        Kube("").delete("namespace", kube.namespace)
        self._until[kube.namespace] = time.monotonic() + NAMESPACE_GONE_WITHIN

    def wait(self) -> None:
        """Returns when all are gone; fails with what is left in one that is late."""
        while self._until:
            name, until = self._until.popitem()
            try:
                left = max(1, round(until - time.monotonic()))
                Kube("").wait_gone("namespace", name, deadline=left)
            except (KubectlError, subprocess.TimeoutExpired):
                dump(Kube(name))
                raise


@pytest.fixture(scope="session")
def departures(cluster: dict[str, Any]) -> Iterator[Departures]:
    """At the end of the session every namespace has gone, each in its time."""
    found = Departures()
    yield found
    found.wait()


@pytest.fixture
def bare(
    request: pytest.FixtureRequest, cluster: dict[str, Any], departures: Departures
) -> Iterator[Kube]:
    """An own namespace under the restricted profile, with or without an operator."""
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-")
    # Numbered, because the cases of one test have the same name once it is cut.
    kube = Kube(f"t-{name[:40].strip('-')}-{os.getpid()}-{next(NUMBERS)}")
    Kube("").apply(restricted(kube.namespace))
    yield kube
    if request.node.stash.get(failed, False):
        dump(kube)
    departures.add(kube)


@pytest.fixture
def kube(operator: Kube, bare: Kube) -> Kube:
    """An own namespace under the restricted profile; the operator runs."""
    return bare


def dump(kube: Kube) -> None:
    """Prints all there is to know about a namespace and the operator; never raises."""
    print(f"\n===== {kube.namespace}", file=sys.stderr)
    kinds = "finetunejobs,inferenceworkspaces,inferencerevisions,jobs,deployments,services,pvc,pods"
    tell(kube, "get", kinds, "-o", "wide")
    tell(kube, "get", "events", "--sort-by=.lastTimestamp")
    tell(kube, "get", "finetunejobs,inferenceworkspaces", "-o", "yaml")
    try:
        pods = [pod["metadata"]["name"] for pod in kube.items("pods")]
    except KubectlError:
        pods = []
    for pod in pods:
        tell(kube, "describe", "pod", pod)
        tell(kube, "logs", pod, "--all-containers", "--prefix", "--tail=100")
    operator = Kube(OPERATOR_NAMESPACE)
    tell(operator, "logs", "deployment/finetune-operator", "--tail=200")
    tell(operator, "logs", "deployment/finetune-operator", "--tail=50", "--previous")


def tell(kube: Kube, *arguments: str) -> None:
    try:
        answer = kube.run(*arguments)
    except (KubectlError, subprocess.TimeoutExpired) as error:
        answer = str(error)
    print(f"--- kubectl {' '.join(arguments)}\n{answer}", file=sys.stderr)
