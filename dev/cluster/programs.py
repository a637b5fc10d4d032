"""The development cluster's programs, built from Go modules where they are missing.

They lie outside the checkout, under a name made from everything that goes into them, so that all
clones of one version share a build. The driver is built apart: changing it links no Kubernetes.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

MODULE = Path(__file__).resolve().parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "finetune-operator"
KUBERNETES_VERSION = "v1.36.3"
LINK = ["-trimpath", "-ldflags", "-s -w"]
VERSION_PACKAGE = "k8s.io/component-base/version"
MAJOR, MINOR, _ = KUBERNETES_VERSION.removeprefix("v").split(".")
KUBERNETES_LINK = [
    "-trimpath",
    "-ldflags",
    f"-s -w -X {VERSION_PACKAGE}.gitVersion={KUBERNETES_VERSION}"
    f" -X {VERSION_PACKAGE}.gitMajor={MAJOR} -X {VERSION_PACKAGE}.gitMinor={MINOR}",
]

# Program: the arguments of go that build it. The longest comes first: a person sees soon how long
# it takes.
PROGRAMS = {
    "kubernetes": ["build", *KUBERNETES_LINK, "./cmd/kubernetes"],
    "coredns": ["build", *LINK, "./cmd/coredns"],
    "containerd": ["install", *LINK, "github.com/containerd/containerd/v2/cmd/containerd@v2.4.2"],
    "containerd-shim-runc-v2": [
        "install",
        *LINK,
        "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2@v2.4.2",
    ],
    "ctr": ["install", *LINK, "github.com/containerd/containerd/v2/cmd/ctr@v2.4.2"],
    "registry": ["install", *LINK, "github.com/distribution/distribution/v3/cmd/registry@v3.1.2"],
    "local-path-provisioner": [
        "install",
        *LINK,
        "github.com/rancher/local-path-provisioner@v0.0.30",
    ],
    "helm": ["install", *LINK, "helm.sh/helm/v4/cmd/helm@v4.3.1"],
}
KUBECTL = '#!/bin/sh\nexec "${0%/*}/kubernetes" kubectl "$@"\n'


def programs() -> Path:
    """Build what is missing; return the folder with all programs.

    Raises subprocess.CalledProcessError with the compiler's last words.
    """
    sources = ["go.mod", "go.sum", "cmd/kubernetes", "cmd/coredns"]
    folder = CACHE / "bin" / digest(sources, repr(PROGRAMS) + KUBECTL)
    build_programs(folder)
    return folder


def driver() -> Path:
    """Build the driver if it is missing; return its path."""
    path = CACHE / "driver" / digest(["go.mod", "go.sum", "cmd/devcluster"]) / "devcluster"
    build_driver(path)
    return path


def digest(paths: list[str], more: str = "") -> str:
    """Hash the sources below the paths, by name and content."""
    total = hashlib.sha256(more.encode())
    for path in paths:
        top = MODULE / path
        for file in sorted(top.rglob("*.go")) if top.is_dir() else [top]:
            total.update(f"{file.relative_to(MODULE)}\0".encode() + file.read_bytes() + b"\0")
    return total.hexdigest()[:16]


def build_programs(destination: Path) -> None:
    """Build all programs into a directory that appears only when it is complete."""
    if destination.exists():
        return
    with locked("bin"):
        if destination.exists():
            return
        unfinished = destination.with_suffix(".unfinished")
        unfinished.mkdir(parents=True, exist_ok=True)
        for number, (name, arguments) in enumerate(PROGRAMS.items(), 1):
            if not (unfinished / name).exists():
                build_one(f"{number} of {len(PROGRAMS)}: {name}", unfinished, name, arguments)
        kubectl = unfinished / "kubectl"
        kubectl.write_text(KUBECTL)
        kubectl.chmod(0o755)
        unfinished.rename(destination)


def build_driver(driver: Path) -> None:
    """Build the driver, which is small: changing it links no Kubernetes."""
    if driver.exists():
        return
    with locked("driver"):
        if not driver.exists():
            driver.parent.mkdir(parents=True, exist_ok=True)
            arguments = ["build", *LINK, "./cmd/devcluster"]
            build_one("the driver", driver.parent, driver.name, arguments)


def build_one(title: str, directory: Path, name: str, arguments: list[str]) -> None:
    """Run go at low priority and tell how many packages it has compiled, every few seconds."""
    started = shown = time.monotonic()
    unfinished = directory / "unfinished"
    unfinished.mkdir(exist_ok=True)
    verb, *rest = arguments
    environment = {"CGO_ENABLED": "0", "GOBIN": str(unfinished), "GOFLAGS": "-buildvcs=false"}
    output = ["-o", str(unfinished / name)] if verb == "build" else []
    process = subprocess.Popen(
        ["nice", "-n", "10", "go", verb, "-v", *output, *rest],
        cwd=MODULE if verb == "build" else directory,
        env=os.environ | environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr
    lines: list[str] = []
    say(f"building {title}")
    for line in process.stderr:
        lines.append(line)
        if time.monotonic() - shown > 5:
            shown = time.monotonic()
            compiled = sum(not line.startswith("go: ") for line in lines)
            seconds = f"{shown - started:.0f} s"
            say(f"building {title}: {compiled} packages compiled, {seconds}")
    if process.wait():
        said = "".join(lines[-20:])
        raise subprocess.CalledProcessError(process.returncode, arguments, output=said)
    (unfinished / name).rename(directory / name)
    shutil.rmtree(unfinished)
    say(f"built {title} in {time.monotonic() - started:.0f} s")


def say(line: str) -> None:
    """Tell of progress beside the output, which may be JSON."""
    print(line, file=sys.stderr, flush=True)


@contextlib.contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold a lock, so that two callers do not build the same at once."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another build ({name})")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
