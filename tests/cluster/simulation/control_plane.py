"""A control plane as processes of this machine: an API server and etcd, and controllers and a
scheduler where they are wanted. Nothing here runs a pod.

Several may be beside each other. The programs are the development cluster's.
"""

from __future__ import annotations

import asyncio
import csv
import json
import shutil
import signal
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.cluster.simulation.api import APPLY, Api

ROOT = Path(__file__).parents[3]
CRDS = sorted((ROOT / "crds").glob("*.yaml"))
ISSUER = "https://control-plane.invalid"
READY_SECONDS = 90.0
POLL_SECONDS = 0.1
TOKENS = {"admin": "token-of-admin", "operator": "token-of-operator", "recorded": "token-recorded"}
"""By user; `recorded` is the operator while the API server writes down what it is asked."""


@dataclass(frozen=True)
class ControlPlane:
    """Where it is, and how to speak to it."""

    folder: Path
    url: str

    @property
    def audit_log(self) -> Path:
        """A line for each request of the user `recorded`, with its body."""
        return self.folder / "audit.log"

    @property
    def authority(self) -> Path:
        """By which it is believed."""
        return self.folder / "certificates/apiserver.crt"

    @property
    def signing_key(self) -> Path:
        """Of the tokens of pods."""
        return self.folder / "accounts.key"

    def kubeconfig(self, user: str = "admin") -> Path:
        """A file with the credentials of that user."""
        path = self.folder / f"{user}.kubeconfig"
        cluster = {"server": self.url, "certificate-authority": str(self.authority)}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "own", "cluster": cluster}],
            "users": [{"name": user, "user": {"token": TOKENS[user]}}],
            "contexts": [{"name": "own", "context": {"cluster": "own", "user": user}}],
            "current-context": "own",
        }
        path.write_text(json.dumps(config))
        return path

    def api(self) -> Api:
        """A client of its administrator."""
        return Api(_Administrator(self))


class _Administrator:
    """Who makes what is measured and tested."""

    def __init__(self, plane: ControlPlane) -> None:
        self.url = plane.url
        self._authority = plane.authority

    def ssl_context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self._authority))

    def authorization(self) -> str:
        return f"Bearer {TOKENS['admin']}"


@contextmanager
def control_plane(folder: Path, *, controllers: bool) -> Iterator[ControlPlane]:
    """A new one, with this system's kinds.

    Args:
        controllers: whether pods are made of Jobs, and given to nodes.
    """
    program = str(_program())
    etcd, peers, api = free_ports(3)
    made = ControlPlane(folder, f"https://127.0.0.1:{api}")
    _write_files(made)
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder / "etcd", ignore_errors=True)

        def run(arguments: list[str]) -> None:
            log = folder / f"{arguments[0]}.log"
            stack.enter_context(_process([program, *arguments], log))

        run(_etcd(folder, etcd, peers))
        run(_apiserver(made, etcd, api, accounts=controllers))
        asyncio.run(_prepare(made))
        if controllers:
            run(_controller_manager(made))
            run(_scheduler(made))
        yield made


def _program() -> Path:
    command = [str(ROOT / "dev/cluster/devcluster"), "build"]
    built = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return Path(built.stdout.splitlines()[-1]) / "kubernetes"


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _write_files(made: ControlPlane) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    made.signing_key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    with (made.folder / "tokens.csv").open("w", newline="") as file:
        for user, token in TOKENS.items():
            csv.writer(file).writerow([token, user, user, "system:masters"])
    policy = {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived", "ResponseStarted"],
        "rules": [{"level": "Request", "users": ["recorded"]}, {"level": "None"}],
    }
    (made.folder / "policy.json").write_text(json.dumps(policy))


def _etcd(folder: Path, port: int, peers: int) -> list[str]:
    client, peer = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{peers}"
    return [
        *["etcd", "--data-dir", str(folder / "etcd"), "--log-level", "warn"],
        *["--listen-client-urls", client, "--advertise-client-urls", client],
        *["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer],
        *["--initial-cluster", f"default={peer}", "--quota-backend-bytes", "4294967296"],
        "--unsafe-no-fsync",  # the disk of this machine is not what is measured
    ]


def _apiserver(made: ControlPlane, etcd: int, port: int, *, accounts: bool) -> list[str]:
    key = str(made.signing_key)
    # Where nobody makes accounts, pods that are played need none.
    without = [] if accounts else ["--disable-admission-plugins", "ServiceAccount"]
    return [
        *["kube-apiserver", "--etcd-servers", f"http://127.0.0.1:{etcd}"],
        *["--bind-address", "127.0.0.1", "--secure-port", str(port)],
        *["--endpoint-reconciler-type", "none", "--service-cluster-ip-range", "10.96.0.0/16"],
        *["--cert-dir", str(made.folder / "certificates"), "--authorization-mode", "RBAC"],
        *["--token-auth-file", str(made.folder / "tokens.csv")],
        *["--service-account-issuer", ISSUER, "--service-account-key-file", key],
        *["--service-account-signing-key-file", key, "--profiling=false"],
        *without,
        *["--audit-policy-file", str(made.folder / "policy.json")],
        *["--audit-log-path", str(made.audit_log), "--audit-log-maxsize", "1000"],
    ]


def _controller_manager(made: ControlPlane) -> list[str]:
    return [
        *["kube-controller-manager", "--kubeconfig", str(made.kubeconfig()), "--secure-port", "0"],
        *["--service-account-private-key-file", str(made.signing_key)],
        *["--root-ca-file", str(made.authority), "--leader-elect=false", "--profiling=false"],
        # As in the development cluster: a lost node is noticed in seconds.
        *["--node-monitor-grace-period", "16s", "--node-monitor-period", "2s"],
        *["--kube-api-qps", "200", "--kube-api-burst", "400", "--concurrent-job-syncs", "10"],
    ]


def _scheduler(made: ControlPlane) -> list[str]:
    return [
        *["kube-scheduler", "--kubeconfig", str(made.kubeconfig()), "--secure-port", "0"],
        *["--leader-elect=false", "--profiling=false"],
        *["--kube-api-qps", "200", "--kube-api-burst", "400"],
    ]


@contextmanager
def _process(command: list[str], log: Path) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


async def _prepare(made: ControlPlane) -> None:
    await _served(made)
    async with made.api() as api:
        await _answers(api, "/readyz")
        await _install(api)


async def _served(made: ControlPlane) -> None:
    """Until the API server has written the certificate by which it is believed."""
    async with asyncio.timeout(READY_SECONDS):
        while not made.authority.exists():  # noqa: ASYNC110  # nobody tells
            await asyncio.sleep(POLL_SECONDS)


async def _answers(api: Api, path: str) -> None:
    async with asyncio.timeout(READY_SECONDS):
        while True:
            try:
                async with api.session.get(f"{api.connection.url}{path}") as response:
                    if response.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(POLL_SECONDS)


async def _install(api: Api) -> None:
    for crd in CRDS:
        group, plural = crd.stem.split("_")
        path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{plural}.{group}"
        async with api.session.patch(
            f"{api.connection.url}{path}?fieldManager=bench&force=true",
            data=crd.read_bytes(),
            headers={"Content-Type": APPLY},
        ) as response:
            if response.status >= 300:
                raise RuntimeError(await response.text())
    for crd in CRDS:
        group, plural = crd.stem.split("_")
        await _answers(api, f"/apis/{group}/v1beta1/{plural}")
