"""ARM and the identity provider over HTTPS on loopback, as Azure documents their protocol."""

from __future__ import annotations

import ssl
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from aiohttp import web
from azure.identity.aio import WorkloadIdentityCredential
from azure.mgmt.containerservice.aio import ContainerServiceClient

from finetune_operator.nodes.aks.identity import Session
from tests.arm.buckets import Bucket
from tests.arm.certificate import write_certificate
from tests.arm.cluster import FakeCluster, Json, RefusedError

API_VERSION = "2026-08-01"
TENANT = "11111111-1111-1111-1111-111111111111"
CLIENT = "22222222-2222-2222-2222-222222222222"
SUBSCRIPTION = "33333333-3333-3333-3333-333333333333"
GROUP, CLUSTER = "platform", "prod"
_POOLS = (
    "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ContainerService"
    "/managedClusters/{cluster}/agentPools"
)
_OPERATIONS = (
    "/subscriptions/{subscription}/providers/Microsoft.ContainerService/locations/eastus/operations"
)


@dataclass
class ArmServer:
    """One cluster of one subscription."""

    cluster: FakeCluster
    now: Callable[[], datetime]
    one_bucket: bool = False
    """Whether writes of all pools are counted together, as Azure used to document it."""
    page: int = 100
    """Pools in one answer; the next has an address of its own."""
    url: str = ""
    requests: list[tuple[str, str, int]] = field(default_factory=list)
    """(method, last part of the path, status)."""
    answers: list[Callable[[web.Request], web.Response | None]] = field(default_factory=list)
    """Asked first, each time: troubles that are none of the cluster's."""
    federated_token: str = "of-the-pod"

    def __post_init__(self) -> None:
        self._writes: defaultdict[str, Bucket] = defaultdict(lambda: Bucket(20, 60))
        self._others = Bucket(60, 1)

    def application(self) -> web.Application:
        """Its routes."""
        made = web.Application(middlewares=[self._counted])
        made.router.add_post(f"/{TENANT}/oauth2/v2.0/token", self._token)
        made.router.add_get(_POOLS, self._list)
        made.router.add_put(_POOLS + "/{name}", self._put)
        made.router.add_get(_POOLS + "/{name}", self._get)
        made.router.add_delete(_POOLS + "/{name}", self._delete)
        made.router.add_get(_OPERATIONS + "/{name}", self._operation)
        return made

    @web.middleware
    async def _counted(self, request: web.Request, handler: Any) -> web.StreamResponse:
        response = self._guarded(request) or await self._handled(request, handler)
        self.requests.append((request.method, request.path.rpartition("/")[2], response.status))
        return response

    async def _handled(self, request: web.Request, handler: Any) -> web.StreamResponse:
        try:
            answer: web.StreamResponse = await handler(request)
        except RefusedError as refused:
            return web.json_response(refused.body, status=refused.status, headers=refused.headers)
        return answer

    def _guarded(self, request: web.Request) -> web.Response | None:
        for each in self.answers:
            if (answer := each(request)) is not None:
                return answer
        if request.path.endswith("/token"):
            return None
        return self._not_served(request) or self._throttled(request)

    def _not_served(self, request: web.Request) -> web.Response | None:
        if request.headers.get("Authorization") != "Bearer granted":
            return _error(401, "AuthenticationFailed", "Authentication failed.")
        if request.query.get("api-version") != API_VERSION:
            return _error(400, "InvalidApiVersionParameter", "The api-version is invalid.")
        if not request.path.startswith(f"/subscriptions/{SUBSCRIPTION}/"):
            return _error(404, "SubscriptionNotFound", "The subscription could not be found.")
        if request.match_info.get("cluster", CLUSTER) != CLUSTER:
            return _error(404, "ResourceNotFound", "The managed cluster was not found.")
        return None

    def _throttled(self, request: web.Request) -> web.Response | None:
        write = request.method == "PUT"
        pool = "" if self.one_bucket else request.match_info.get("name", "")
        bucket = self._writes[pool] if write else self._others
        if wait := bucket.take(self.now()):
            text = f"The request limit has been exceeded, please retry again in {wait} seconds."
            return _error(429, "Throttled", text, {"Retry-After": str(wait)})
        return None

    async def _token(self, request: web.Request) -> web.Response:
        form = await request.post()
        known = form["client_id"] == CLIENT and form["client_assertion"] == self.federated_token
        if not known or not str(form["scope"]).endswith("/.default"):
            told = {"error": "invalid_client", "error_description": "AADSTS700213: No match."}
            return web.json_response(told, status=401)
        return web.json_response(
            {"token_type": "Bearer", "expires_in": 3599, "access_token": "granted"}
        )

    async def _list(self, request: web.Request) -> web.Response:
        found, start = self.cluster.all(), int(request.query.get("$skiptoken", "0"))
        page: Json = {"value": found[start : start + self.page]}
        if start + self.page < len(found):
            query = f"?api-version={API_VERSION}&$skiptoken={start + self.page}"
            page["nextLink"] = f"{self.url}{request.path}{query}"
        return web.json_response(page)

    async def _get(self, request: web.Request) -> web.Response:
        found = {each["name"]: each for each in self.cluster.all()}
        pool = found.get(request.match_info["name"])
        return web.json_response(pool) if pool else _error(404, "NotFound", "There is none.")

    async def _put(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        status, pool = self.cluster.put(
            name,
            await request.json(),
            if_match=request.headers.get("If-Match", ""),
            if_none_match=request.headers.get("If-None-Match", ""),
        )
        return web.json_response(pool, status=status, headers=self._begun(name))

    async def _delete(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        status = self.cluster.delete(name, if_match=request.headers.get("If-Match", ""))
        return web.Response(status=status, headers=self._begun(name) if status == 202 else None)

    def _begun(self, name: str) -> dict[str, str]:
        path = _OPERATIONS.format(subscription=SUBSCRIPTION)
        url = f"{self.url}{path}/{name}?api-version={API_VERSION}"
        return {"Azure-AsyncOperation": url, "Location": url, "Retry-After": "1"}

    async def _operation(self, request: web.Request) -> web.Response:
        found = {each["name"]: each for each in self.cluster.all()}
        pool = found.get(request.match_info["name"])
        state = pool["properties"]["provisioningState"] if pool else "Succeeded"
        told = state if state in ("Succeeded", "Failed") else "InProgress"
        answer: Json = {"status": told}
        if pool and told == "Failed":
            answer["error"] = pool["properties"]["status"]["provisioningError"]
        return web.json_response(answer, headers={"Retry-After": "1"})


def _error(
    status: int, code: str, message: str, headers: dict[str, str] | None = None
) -> web.Response:
    body = {"error": {"code": code, "message": message}}
    return web.json_response(body, status=status, headers=headers)


@asynccontextmanager
async def listening(server: ArmServer, certificate: Path) -> AsyncIterator[int]:
    """Yields the port on loopback where it serves HTTPS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    runner = web.AppRunner(server.application())
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@asynccontextmanager
async def serving(server: ArmServer, folder: Path) -> AsyncIterator[Callable[[str], Session]]:
    """Yields what connects to it, as the pod of the operator would: with its federated token.

    Args:
        folder: an empty one, for certificate and token.
    """
    certificate = write_certificate(folder)
    token = folder / "token"
    token.write_text(server.federated_token)

    def connect(subscription: str) -> Session:
        verified = {"connection_verify": str(certificate)}
        credential = WorkloadIdentityCredential(
            tenant_id=TENANT,
            client_id=CLIENT,
            token_file_path=str(token),
            authority=server.url,
            disable_instance_discovery=True,
            **verified,
        )
        client = ContainerServiceClient(
            credential, subscription, base_url=server.url, retry_total=0, **verified
        )
        return Session(client, credential)

    async with listening(server, certificate) as port:
        server.url = f"https://127.0.0.1:{port}"
        yield connect
