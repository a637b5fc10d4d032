"""A real OCI registry (distribution) on the loopback interface."""

import base64
import json
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

DEVCLUSTER = Path(__file__).parents[3] / "dev" / "cluster" / "devcluster"
BUILD_SECONDS = 600
START_SECONDS = 30

USER, PASSWORD = "tester", "correct-horse"
HTPASSWD = "tester:$2b$05$1DXoDdPylO1XNx0SAomAY.tjbicQ/8zkHAzXJQwrnQV29.0rz97LC\n"
"""bcrypt of PASSWORD."""


@dataclass(frozen=True)
class RunningRegistry:
    """One registry process."""

    host: str
    root: Path

    def authfile(self, folder: Path, password: str = PASSWORD) -> Path:
        """A mounted Secret of type kubernetes.io/dockerconfigjson; returns its folder."""
        folder.mkdir(parents=True, exist_ok=True)
        token = base64.b64encode(f"{USER}:{password}".encode()).decode()
        content = {"auths": {self.host: {"auth": token}}}
        (folder / ".dockerconfigjson").write_text(json.dumps(content))
        return folder


def build() -> Path:
    """The development cluster's registry; what that has compiled is not compiled again."""
    command = [sys.executable, DEVCLUSTER, "build", "registry"]
    built = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, text=True, timeout=BUILD_SECONDS
    )
    return Path(built.stdout.strip())


@contextmanager
def run(
    program: Path, root: Path, *, password: bool = False, certificate: Path | None = None
) -> Iterator[RunningRegistry]:
    """Start a registry that keeps its blobs below `root`; it answers when this yields.

    Args:
        certificate: a file with certificate and key, for a registry that speaks TLS.
    """
    root.mkdir(parents=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{free.getsockname()[1]}"
    (root / "htpasswd").write_text(HTPASSWD)
    auth = f"auth: {{htpasswd: {{realm: test, path: {root}/htpasswd}}}}" if password else ""
    tls = f", tls: {{certificate: {certificate}, key: {certificate}}}" if certificate else ""
    (root / "config.yml").write_text(
        f"""version: 0.1
log: {{level: warn, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {root}/blobs}}}}
http: {{addr: "{host}"{tls}}}
{auth}
"""
    )
    with (root / "log").open("wb") as log:
        process = subprocess.Popen(
            [program, "serve", root / "config.yml"], stdout=log, stderr=subprocess.STDOUT
        )
        try:
            _wait(f"{'https' if certificate else 'http'}://{host}/v2/", process)
            yield RunningRegistry(host, root)
        finally:
            process.terminate()
            process.wait(10)


def _wait(url: str, process: "subprocess.Popen[bytes]") -> None:
    # Only whether it answers is asked here, not who it is.
    context = ssl._create_unverified_context()  # noqa: S323
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=5, context=context):  # noqa: S310
                return
        except urllib.error.HTTPError:  # it asks for a password: it is there
            return
        except OSError:
            time.sleep(0.02)
    raise AssertionError(f"the registry did not start: exit status {process.poll()}")
