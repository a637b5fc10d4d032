"""Builds with buildah, and pushes from a network in which the registry can be reached."""

import hashlib
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import programs

ROOT = Path(__file__).resolve().parents[2]
KEPT = programs.CACHE / "images"
DEVCLUSTER = str(ROOT / "dev/cluster/devcluster")
DEVELOPMENT_REGISTRY = "registry.local:5000"
LOW_PRIORITY = ["nice", "-n", "5"]
BUILDAH = ["buildah", "--root", str(programs.CACHE / "buildah")]
BUILDAH += ["--runroot", "/run/finetune-dev-buildah", "--storage-driver", "overlay"]


def build(name: str, dockerfile: Path, context: Path, arguments: list[str], title: str) -> None:
    """Build under a name, with uv, its cache and this machine's certificates mounted."""
    settings = KEPT / "uv.toml"
    settings.write_text("native-tls = true\n")
    uv = Path(sys.executable).parent / "uv"
    cache = subprocess.run([uv, "cache", "dir"], capture_output=True, text=True, check=True).stdout
    mounts = {
        "/etc/ssl/certs": "/etc/ssl/certs:ro",
        cache.strip(): "/root/.cache/uv",
        str(settings): "/etc/uv/uv.toml:ro",
        str(uv): "/usr/local/bin/uv:ro",
    }
    command = [*LOW_PRIORITY, *BUILDAH, "bud", "--isolation", "chroot", "--network", "host"]
    for source, target in mounts.items():
        command += ["--volume", f"{source}:{target}"]
    for argument in arguments:
        command += ["--build-arg", argument]
    run([*command, "--layers", "--file", str(dockerfile), "--tag", name, str(context)], title)


def push(name: str, target: str, registry: str, compression: tuple[str, ...]) -> str:
    """Push to a repository and tag; return the digest that the registry has it under.

    Args:
        compression: of the layers: a format, and a level where another than its own is wanted.
    """
    command = [*inside(registry), *LOW_PRIORITY, *BUILDAH, "push", verify(registry)]
    for option, value in zip(("format", "level"), compression, strict=False):
        command += [f"--compression-{option}", value]
    with tempfile.NamedTemporaryFile() as digest:
        run([*command, "--digestfile", digest.name, name, f"docker://{target}"])
        return digest.read().decode().strip()


def prune() -> None:
    """Remove the layers of versions that no name has any more.

    The caller builds nothing, and nobody else does: the working container that a killed build has
    left would keep its layers for ever.
    """
    run([*BUILDAH, "rm", "--all"])
    run([*BUILDAH, "rmi", "--prune"])


def in_registry(reference: str, registry: str) -> bool:
    """Whether the registry still has the manifest."""
    command = ["skopeo", "inspect", "--raw", verify(registry), f"docker://{reference}"]
    answer = subprocess.run([*inside(registry), *command], capture_output=True, check=False)
    return answer.returncode == 0


def inside(registry: str) -> list[str]:
    """The words that lead a command to where the registry can be reached."""
    return [DEVCLUSTER, "exec", "--"] if registry == DEVELOPMENT_REGISTRY else []


def verify(registry: str) -> str:
    """The development registry speaks plain HTTP, inside its own network namespace."""
    return f"--tls-verify={'false' if registry == DEVELOPMENT_REGISTRY else 'true'}"


def debian_base() -> str:
    """Make the base once, where no registry can be reached: Debian's smallest set, and Python."""
    KEPT.mkdir(parents=True, exist_ok=True)
    unneeded = [f"--dpkgopt=path-exclude=/usr/share/{kind}/*" for kind in ("doc", "locale", "man")]
    command = ["mmdebstrap", "--variant=minbase", "--include=python3,ca-certificates", *unneeded]
    dockerfile = "FROM scratch\nADD rootfs.tar /\nRUN ln -s python3 /usr/bin/python\n"
    key = hashlib.sha256(repr((command, dockerfile)).encode()).hexdigest()[:12]
    name = f"localhost/finetune-base:{key}"
    known = [*BUILDAH, "inspect", "--type", "image", name]
    if subprocess.run(known, capture_output=True, check=False).returncode == 0:
        return name
    print("base image: installing Debian's minimum and Python (about 1 min)", flush=True)
    with tempfile.TemporaryDirectory(dir=KEPT) as folder:
        run([*LOW_PRIORITY, *command, "bookworm", f"{folder}/rootfs.tar"])
        Path(folder, "Dockerfile").write_text(dockerfile)
        run([*BUILDAH, "bud", "--isolation", "chroot", "--tag", name, folder])
    return name


def run(command: list[str], title: str = "") -> None:
    """Run a command; show the build steps it reports; keep its last words for when it fails."""
    started = time.monotonic()
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout
    last: list[str] = []
    for line in process.stdout:
        last = [*last[-40:], line]
        if title and "STEP" in line:
            seconds = f"{time.monotonic() - started:4.0f} s"
            print(f"{title}: {seconds}  {line.strip()[:100]}", flush=True)
    if process.wait():
        raise subprocess.CalledProcessError(process.returncode, command, output="".join(last))
