"""Very many jobs that report: whether the last report of each arrives, and at what cost."""

import asyncio
import base64
import hashlib
import random
import statistics
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import aiohttp
import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from tests.cluster.simulation.api import Api, Object
from tests.cluster.simulation.control_plane import ISSUER, ControlPlane

from bench.operator.children import JOBS, NAMESPACE
from bench.operator.process import Operator

EVERY_SECONDS = 5.0
AUDIENCE = "finetune-operator"
TOTAL = 100_000
ARRIVAL_SECONDS = 180.0
"""How long the last reports may take to be in the status: of 1,000 jobs, each is due in 50 s."""


@dataclass
class Reports:
    """What came of it."""

    jobs: int
    seconds: float
    posts: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    """Of good reports, by answer."""
    median_seconds: float = 0.0
    p99_seconds: float = 0.0
    """Of an answer."""
    status_writes: float = 0.0
    """A second, while all report."""
    busy: float = 0.0
    """Share of a core that the operator takes."""
    lost: int = 0
    """Jobs whose last report is not in their status."""
    arrived_seconds: float = 0.0
    """From the last post until all are."""
    bad: dict[str, int] = field(default_factory=dict)
    """The answer to each kind of report that is to be refused."""


class Signer:
    """Signs as the API server does."""

    def __init__(self, plane: ControlPlane) -> None:
        loaded = serialization.load_pem_private_key(plane.signing_key.read_bytes(), None)
        assert isinstance(loaded, rsa.RSAPrivateKey)
        self._key = loaded
        public = loaded.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        digest = hashlib.sha256(public).digest()
        self._identity = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()

    def token(
        self, pod: Object, *, seconds: float = 3600, key: rsa.RSAPrivateKey | None = None
    ) -> str:
        """As the kubelet puts it into the pod."""
        bound = {"name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]}
        claims = {
            "iss": ISSUER,
            "aud": [AUDIENCE],
            "exp": int(time.time() + seconds),
            "kubernetes.io": {"namespace": NAMESPACE, "pod": bound},
        }
        headers = {"kid": self._identity}
        return jwt.encode(claims, key or self._key, algorithm="RS256", headers=headers)


def report(step: int, attempt: int = 1) -> Object:
    """What a trainer posts."""
    return {
        "attempt": attempt,
        "stage": "Training",
        "step": step,
        "totalSteps": TOTAL,
        "loss": 2.0,
        "tokensPerSecond": 1000.0,
        "remainingSeconds": 3600,
    }


async def reporting(
    plane: ControlPlane, api: Api, operator: Operator, pods: Mapping[str, Object], seconds: float
) -> Reports:
    """All of them post every few seconds, each from another moment on."""
    signer, made = Signer(plane), Reports(len(pods), seconds)
    answers: list[float] = []
    last: dict[str, int] = {}
    url = f"http://127.0.0.1:{operator.progress_port}/v1/progress/{NAMESPACE}"

    async def trainer(session: aiohttp.ClientSession, name: str, token: str, end: float) -> None:
        await asyncio.sleep(random.uniform(0, EVERY_SECONDS))  # noqa: S311
        step = 0
        while time.monotonic() < end:
            step += random.randint(1, 9)  # noqa: S311
            began = time.monotonic()
            status = await _post(session, f"{url}/{name}", token, report(step))
            answers.append(time.monotonic() - began)
            if status == 204:
                last[name] = step
            else:
                made.refused[str(status)] += 1
            await asyncio.sleep(EVERY_SECONDS)

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        tokens = {name: signer.token(pod) for name, pod in pods.items()}
        before, computed = await operator.requests(), operator.cpu_seconds
        began = time.monotonic()
        end = began + seconds
        await asyncio.gather(*(trainer(session, *each, end) for each in tokens.items()))
        took = time.monotonic() - began
        made.status_writes = ((await operator.requests()) - before)["PATCH"] / took
        made.busy = (operator.cpu_seconds - computed) / took
        made.bad = await _bad(session, url, signer, pods)
    made.posts = len(answers)
    made.median_seconds = statistics.median(answers)
    made.p99_seconds = statistics.quantiles(answers, n=100)[98]
    made.arrived_seconds, made.lost = await _arrived(api, last)
    return made


async def _post(session: aiohttp.ClientSession, url: str, token: str, body: Object) -> int:
    headers = {"Authorization": f"Bearer {token}"}
    async with session.post(url, json=body, headers=headers) as response:
        return response.status


async def _bad(
    session: aiohttp.ClientSession, url: str, signer: Signer, pods: Mapping[str, Object]
) -> dict[str, int]:
    (name, pod), (_, other), *_ = pods.items()
    place, good = f"{url}/{name}", signer.token(pod)
    forged = signer.token(pod, key=rsa.generate_private_key(public_exponent=65537, key_size=2048))
    ahead = report(TOTAL)
    return {
        "forged": await _post(session, place, forged, ahead),
        "expired": await _post(session, place, signer.token(pod, seconds=-60), ahead),
        "of another job": await _post(session, place, signer.token(other), ahead),
        "of another attempt": await _post(session, place, good, report(TOTAL, attempt=2)),
        "replayed": await _post(session, place, good, report(1)),
        "oversized": await _post(session, place, good, ahead | {"more": "x" * 5000}),
    }


async def _arrived(api: Api, last: Mapping[str, int]) -> tuple[float, int]:
    """Seconds until the status of all jobs has their last report; and how many never have it."""
    began = time.monotonic()
    while True:
        found = {each["metadata"]["name"]: each for each in await api.items(JOBS)}
        lost = sum(
            found[name]["status"].get("progress", {}).get("step") != step
            for name, step in last.items()
        )
        taken = time.monotonic() - began
        if not lost or taken > ARRIVAL_SECONDS:
            return taken, lost
        await asyncio.sleep(1)
