"""A session with the API server: JSON in and out, time-outs, retries.

Every request that goes through it may be repeated without harm (reads, applies under fixed names,
deletions of one uid, status patches of one resourceVersion), so all of them are retried alike: by
the class of the error, and never past the deadline of the call.
"""

import asyncio
import json
import random
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import aiohttp

from finetune_operator.cluster import errors, metrics
from finetune_operator.cluster.clock import ServerClock
from finetune_operator.cluster.connection import Connection
from finetune_operator.domain.actions import JsonObject

FIELD_MANAGER = "finetune-operator"
CALL_SECONDS = 30.0
"""Deadline of a call, its retries included; an API server answers or cancels within 60 s."""
ATTEMPT_SECONDS = 10.0
FIRST_RETRY_SECONDS = 0.1
ACCEPTED = "application/json, application/jwk-set+json"
"""The second is what the signing keys come as, and as nothing else."""
MAXIMUM_CONNECTIONS = 32


class Session:
    """To be used as an async context manager."""

    def __init__(
        self,
        connection: Connection,
        call_seconds: float = CALL_SECONDS,
        may_write: Callable[[], bool] = lambda: True,
        clock: ServerClock | None = None,
    ) -> None:
        self._connection = connection
        self._may_write = may_write
        """Asked before each attempt: a process that was frozen while it led must not go on."""
        self._call_seconds = call_seconds
        self._clock = clock or ServerClock()
        self._host = urlsplit(connection.url).netloc
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                ssl=self._connection.ssl_context(), limit=MAXIMUM_CONNECTIONS
            ),
            headers={"User-Agent": FIELD_MANAGER, "Accept": ACCEPTED},
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def _request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
    ) -> JsonObject:
        answer: JsonObject = json.loads(
            await self._request_text(
                method, path, query=query, body=body, content_type=content_type
            )
        )
        return answer

    async def _request_text(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
    ) -> str:
        data = None if body is None else json.dumps(body).encode()
        deadline = time.monotonic() + self._call_seconds
        delay = FIRST_RETRY_SECONDS
        while True:
            try:
                return await self._attempt(method, path, query, data, content_type)
            except errors.ApiError as error:
                # Half fixed, half random, so that many waiters do not come back together.
                pause = error.retry_after or delay * (0.5 + random.random() / 2)  # noqa: S311
                if not error.retriable or time.monotonic() + pause >= deadline:
                    raise
            await asyncio.sleep(pause)
            delay *= 2

    async def _attempt(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        data: bytes | None = None,
        content_type: str = "application/json",
    ) -> str:
        if self._session is None:
            raise RuntimeError("the client is used outside its context")
        if method != "GET" and not self._may_write():
            raise errors.NotLeadingError(f"{method} {path}: another replica may lead by now")
        headers = {"Content-Type": content_type}
        if authorization := self._connection.authorization():
            headers["Authorization"] = authorization
        started = time.monotonic()
        status = 0
        try:
            async with self._session.request(
                method,
                self._connection.url + path,
                params=query,
                data=data,
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=ATTEMPT_SECONDS),
            ) as response:
                status = response.status
                text = await response.text()
                wait = response.headers.get("Retry-After")
                self._clock.heard(response.headers.get("Date"), started, time.monotonic())
        except (aiohttp.ClientError, TimeoutError) as error:
            raise errors.UnavailableError(
                f"{method} {path}: {str(error) or type(error).__name__}"
            ) from error
        finally:
            code = str(status) if status else "<error>"
            metrics.REQUESTS.labels(code, method, self._host).inc()
            metrics.REQUEST_SECONDS.labels(method, self._host).observe(time.monotonic() - started)
        if status >= 400:
            retry_after = float(wait) if wait and wait.isdigit() else None
            raise errors.from_status(status, reason_of(text), retry_after)
        return text


def reason_of(text: str) -> str:
    """The message of a Status object, or the text itself from a proxy in between."""
    try:
        message = json.loads(text).get("message")
    except (ValueError, AttributeError):
        message = None
    return str(message or text[:500])
