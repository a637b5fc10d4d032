"""The API server as an administrator, for what kubectl is too slow."""

from __future__ import annotations

import json
from types import TracebackType
from typing import Any, Self

import aiohttp

from finetune_operator.cluster.connection import ConfiguredConnection, Connection

Object = dict[str, Any]
MERGE = "application/merge-patch+json"
APPLY = "application/apply-patch+yaml"


class Api:
    """JSON requests with the kubeconfig's credentials, or others."""

    def __init__(self, connection: Connection | None = None) -> None:
        self.connection = connection or ConfiguredConnection()
        self.session: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(ssl=self.connection.ssl_context(), limit=0)
        authorization = self.connection.authorization()
        headers = {"Authorization": authorization} if authorization else {}
        self.session = aiohttp.ClientSession(connector=connector, headers=headers)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.session.close()

    async def ask(
        self,
        method: str,
        path: str,
        body: Object | None = None,
        *,
        content_type: str = "application/json",
        absent: bool = False,
    ) -> Object:
        """The answer; `absent`: that there is no such object (any more) is an answer too."""
        async with self.session.request(
            method,
            self.connection.url + path,
            data=None if body is None else json.dumps(body),
            headers={"Content-Type": content_type},
            timeout=aiohttp.ClientTimeout(total=30),
        ) as response:
            answer: Object = await response.json(content_type=None)
            if response.status >= 400 and not (absent and response.status == 404):
                raise AssertionError(f"{method} {path}: {response.status} {answer}")
            return answer

    async def apply(self, path: str, manifest: Object) -> Object:
        return await self.ask(
            "PATCH", f"{path}?fieldManager=test&force=true", manifest, content_type=APPLY
        )

    async def items(self, path: str) -> list[Object]:
        answer = await self.ask("GET", path)
        found: list[Object] = answer["items"]
        return found
