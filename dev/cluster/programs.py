"""The development cluster's programs, built from Go modules where they are missing.

They lie outside the checkout, under a name made from everything that goes into them, so that all
clones of one version share a build. The driver is built apart: changing it links no Kubernetes.
"""

import contextlib
import fcntl
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

MODULE = Path(__file__).resolve().parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "finetune-operator"
VERSION = "k8s.io/component-base/version"
KUBERNETES_VERSION = "v1.36.3"
MAJOR, MINOR, _ = KUBERNETES_VERSION.removeprefix("v").split(".")
# Four tenths of the compiler's work go into inlining and debugging information. Only Go's own
# library, which all of them use most, is worth the first here; nobody debugs these.
GO_FLAGS = [
    *["-gcflags=all=-dwarf=false -l", "-gcflags=std=-dwarf=false"],
    "-trimpath",
    "-ldflags",
    f"-s -w -X {VERSION}.gitVersion={KUBERNETES_VERSION}"
    f" -X {VERSION}.gitMajor={MAJOR} -X {VERSION}.gitMinor={MINOR}",
]
CONTAINERD = "github.com/containerd/containerd/v2/cmd"
CONTAINERD_VERSION = "v2.4.2"
PROMTOOL = "github.com/prometheus/prometheus/cmd/promtool@v0.316.0"
KUEUE = "sigs.k8s.io/kueue"
KUEUE_IMAGE = "localhost/devcluster/kueue:1"
# What is built by one command of go, and so of one version of every library: that is compiled once
# for all. Apart by need: the provisioner imports a library by a name that differs from the others'
# in its case, and containerd needs a later CRI than this kubelet has.
BUILDS = {
    "Kubernetes, CoreDNS, registry and helm": [
        *["build", *GO_FLAGS],
        *["./cmd/kubernetes", "./cmd/coredns", "./cmd/registry"],
        *["k8s.io/kubernetes/cmd/kubectl", "helm.sh/helm/v4/cmd/helm"],
    ],
    "local-path-provisioner": ["build", *GO_FLAGS, "github.com/rancher/local-path-provisioner"],
    "containerd": [
        *["install", *GO_FLAGS],
        *(
            f"{CONTAINERD}/{name}@{CONTAINERD_VERSION}"
            for name in ("containerd", "containerd-shim-runc-v2", "ctr")
        ),
    ],
}


def programs() -> Path:
    """Build what is missing; return the folder with all programs.

    Raises subprocess.CalledProcessError with the compiler's last words.
    """
    sources = ["go.mod", "go.sum", "cmd/kubernetes", "cmd/coredns", "cmd/registry"]
    folder = CACHE / "bin" / digest(sources, repr(BUILDS))
    with built(folder) as unfinished:
        if unfinished:
            for number, (title, arguments) in enumerate(BUILDS.items(), 1):
                build(f"{number} of {len(BUILDS)}: {title}", unfinished, arguments)
    return folder


def registry() -> Path:
    """Build the registry alone, if it is missing, for tests that need no cluster; return its path.

    As it is built for the cluster, so that neither compiles what the other has compiled.
    """
    arguments = ["build", *GO_FLAGS, "./cmd/registry"]
    content = digest(["go.mod", "go.sum", "cmd/registry"], repr(arguments))
    folder = CACHE / "bin" / f"registry-{content}"
    with built(folder) as unfinished:
        if unfinished:
            build("the registry", unfinished, arguments)
    return folder / "registry"


def health() -> Path:
    """Build what tells how Argo CD and Flux judge an object, if it is missing; return its path.

    A module of its own: what it needs is no part of a cluster, and changing it links no Kubernetes.
    """
    sources = ["health/go.mod", "health/go.sum", "health/main.go"]
    folder = CACHE / "bin" / f"health-{digest(sources, repr(GO_FLAGS))}"
    with built(folder) as unfinished:
        if unfinished:
            build("the judges", unfinished, ["build", *GO_FLAGS, "."], MODULE / "health")
    return folder / "health"


def promtool() -> Path:
    """Build Prometheus' checker of rules, if it is missing, for tests; return its path.

    Without the ways to find targets in some twenty clouds, which tests of rules need not.
    """
    arguments = ["install", "-tags=remove_all_sd", *GO_FLAGS, PROMTOOL]
    folder = CACHE / "bin" / f"promtool-{digest([], repr(arguments))}"
    with built(folder) as unfinished:
        if unfinished:
            build("promtool", unfinished, arguments)
    return folder / "promtool"


def karpenter() -> Path:
    """Build Karpenter with its KWOK cloud, if it is missing; return the folder that has it, and in
    `crds` the CustomResourceDefinitions of its version.

    A module of its own, because it needs no Kubernetes to be built anew; what both need is of the
    same version, so that it is compiled once.
    """
    module, arguments = MODULE / "karpenter", ["build", *GO_FLAGS, "."]
    sources = ["karpenter/go.mod", "karpenter/go.sum", "karpenter"]
    folder = CACHE / "bin" / f"karpenter-{digest(sources, repr(arguments))}"
    with built(folder) as unfinished:
        if unfinished:
            build("Karpenter", unfinished, arguments, module)
            where = ["go", "list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/karpenter"]
            found = subprocess.run(where, cwd=module, capture_output=True, text=True, check=True)
            crds = unfinished / "crds"
            crds.mkdir(exist_ok=True)
            for place in ("kwok/charts/crds", "kwok/apis/crds"):
                for crd in Path(found.stdout.strip(), place).glob("*.yaml"):
                    (crds / crd.name).write_bytes(crd.read_bytes())
    return folder


def kueue() -> Path:
    """Build Kueue's manager, if it is missing; return the folder with an image of it and its chart.

    Only a test asks for it. Its version is in go.mod, and its chart and CRDs come in the module.
    """
    arguments = ["build", *GO_FLAGS, f"{KUEUE}/cmd/kueue"]
    folder = CACHE / "bin" / f"kueue-{digest(['go.mod', 'go.sum'], repr(arguments))}"
    with built(folder) as unfinished:
        if unfinished:
            build("Kueue", unfinished, arguments)
            archive = image_archive(KUEUE_IMAGE, "manager", (unfinished / "kueue").read_bytes())
            (unfinished / "image.tar").write_bytes(archive)
            module = ["go", "list", "-m", "-f", "{{.Dir}}", KUEUE]
            source = subprocess.run(module, cwd=MODULE, capture_output=True, text=True, check=True)
            chart = Path(source.stdout.strip()) / "charts/kueue"
            shutil.copytree(chart, unfinished / "chart", copy_function=shutil.copyfile)
    return folder


def image_archive(name: str, program: str, content: bytes) -> bytes:
    """An image of one static program, `/program`, as `docker save` writes it."""

    def tarred(files: dict[str, bytes]) -> bytes:
        whole = io.BytesIO()
        with tarfile.open(fileobj=whole, mode="w") as archive:
            for path, data in files.items():
                entry = tarfile.TarInfo(path)
                entry.size, entry.mode = len(data), 0o755
                archive.addfile(entry, io.BytesIO(data))
        return whole.getvalue()

    layer = tarred({program: content})
    config = {
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine],
        "os": "linux",
        "config": {"User": "65532"},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]
    return tarred(
        {
            "config.json": json.dumps(config).encode(),
            "layer.tar": layer,
            "manifest.json": json.dumps(manifest).encode(),
        }
    )


def driver() -> Path:
    """Build the driver, which is small, if it is missing; return its path."""
    folder = CACHE / "driver" / digest(["go.mod", "go.sum", "cmd/devcluster"])
    with built(folder) as unfinished:
        if unfinished:
            build("the driver", unfinished, ["build", *GO_FLAGS, "./cmd/devcluster"])
    return folder / "devcluster"


def digest(paths: list[str], more: str = "") -> str:
    """Hash the sources below the paths, by name and content."""
    total = hashlib.sha256(more.encode())
    for path in paths:
        top = MODULE / path
        for file in sorted(top.rglob("*.go")) if top.is_dir() else [top]:
            total.update(f"{file.relative_to(MODULE)}\0".encode() + file.read_bytes() + b"\0")
    return total.hexdigest()[:16]


@contextlib.contextmanager
def built(folder: Path) -> Iterator[Path | None]:
    """Give a folder to build in, which then becomes `folder`; None where that is there already."""
    if folder.exists():
        yield None
        return
    with locked(folder.parent.name):
        if folder.exists():
            yield None
            return
        unfinished = folder.with_suffix(".unfinished")
        unfinished.mkdir(parents=True, exist_ok=True)
        yield unfinished
        unfinished.rename(folder)


def build(title: str, folder: Path, arguments: list[str], module: Path = MODULE) -> None:
    """Run go at low priority and tell how many packages it has compiled, every few seconds.

    What go has compiled when it is interrupted it need not compile again.
    """
    started = shown = time.monotonic()
    verb, *rest = arguments
    environment = {"CGO_ENABLED": "0", "GOBIN": str(folder), "GOFLAGS": "-buildvcs=false"}
    output = ["-o", f"{folder}/"] if verb == "build" else []
    process = subprocess.Popen(
        ["nice", "-n", "10", "go", verb, "-v", *output, *rest],
        cwd=module if verb == "build" else folder,
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
