"""Answers from a server behind this one (vLLM), which knows revisions but no traffic."""

import asyncio
import logging
import time

from aiohttp import (
    ClientError,
    ClientPayloadError,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    web,
)

from finetune_trainer.errors import UnavailableError
from finetune_trainer.serve.backend import REVISION_HEADER, Call
from finetune_trainer.serve.config import ServeConfig
from finetune_trainer.serve.errors import UnavailableNowError
from finetune_trainer.serve.requests import TextRequest
from finetune_trainer.serve.sse import event

START_SECONDS = 3600
"""Bound of loading a large model over there."""

_RETRY_SECONDS = 2.0
_HEALTH_SECONDS = 3.0
_CONNECT_SECONDS = 5.0
_PROOF_SECONDS = 120.0

log = logging.getLogger(__name__)


class UpstreamBackend:
    """Passes requests on with the name of the revision, and the answers back as they come."""

    def __init__(self, config: ServeConfig, url: str) -> None:
        self._url = url.rstrip("/")
        self._seconds = config.request_seconds
        # A revision without a folder is the base model, which is all that is known of it there.
        self._names = {
            revision.name: revision.name if revision.path else config.base_model.name
            for revision in config.revisions
        } | {config.base_model.name: config.base_model.name}
        self._session: ClientSession | None = None

    async def start(self) -> None:
        self._session = ClientSession()
        deadline = time.monotonic() + START_SECONDS
        while not await self.healthy():
            if time.monotonic() > deadline:
                raise UnavailableError(f"{self._url} was not healthy within {START_SECONDS} s")
            await asyncio.sleep(_RETRY_SECONDS)

    async def prove(self, model: str) -> None:
        body = {
            "model": self._names[model],
            "prompt": "Hello",
            "max_tokens": 1,
            "temperature": 0,
        }
        response = await self._post(TextRequest.path, body, _PROOF_SECONDS)
        async with response:
            if response.status != 200:
                text = await response.text()
                raise UnavailableNowError(f"{model} answers {response.status}: {text[:500]}")

    async def healthy(self) -> bool:
        timeout = ClientTimeout(total=_HEALTH_SECONDS)
        try:
            async with self._open_session.get(f"{self._url}/health", timeout=timeout) as response:
                return response.status == 200
        except (ClientError, TimeoutError):
            return False

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def answer(self, request: web.Request, call: Call) -> web.StreamResponse:
        body = {**call.body, "model": self._names[call.model]}
        upstream = await self._post(call.kind.path, body, self._seconds)
        headers = {
            "Content-Type": upstream.headers.get("Content-Type", "application/json"),
            REVISION_HEADER: call.model,
        }
        async with upstream:
            if not headers["Content-Type"].startswith("text/event-stream"):
                try:
                    content = await upstream.read()
                except (ClientError, TimeoutError) as error:
                    raise _unavailable(error) from error
                return web.Response(body=content, status=upstream.status, headers=headers)
            response = web.StreamResponse(status=upstream.status, headers=headers)
            await response.prepare(request)
            try:
                async for piece in upstream.content.iter_any():
                    await response.write(piece)
            except (ClientPayloadError, TimeoutError) as error:
                await response.write(event(_unavailable(error).envelope()))
            return response

    @property
    def _open_session(self) -> ClientSession:
        if self._session is None:
            raise UnavailableNowError("the server is starting")
        return self._session

    async def _post(self, path: str, body: object, seconds: float) -> ClientResponse:
        timeout = ClientTimeout(total=seconds, sock_connect=_CONNECT_SECONDS)
        try:
            return await self._open_session.post(f"{self._url}{path}", json=body, timeout=timeout)
        except (ClientError, TimeoutError) as error:
            raise _unavailable(error) from error


def _unavailable(error: Exception) -> UnavailableNowError:
    return UnavailableNowError(f"the model server does not answer: {error or type(error).__name__}")
