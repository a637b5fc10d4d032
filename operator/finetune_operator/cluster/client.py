"""A small client of the API server: JSON in and out, server-side apply, time-outs, retries.

Every request it makes may be repeated without harm (reads, applies under fixed names, deletions
of one uid, status patches of one resourceVersion), so all of them are retried alike: by the class
of the error, and never past the deadline of the call.
"""

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlsplit

import aiohttp

from finetune_operator.cluster import errors, metrics
from finetune_operator.cluster.clock import ServerClock
from finetune_operator.cluster.connection import Connection
from finetune_operator.cluster.merge_patch import merge_patch
from finetune_operator.domain.actions import Delete, Finalize, JsonObject
from finetune_operator.domain.kinds import BY_MANIFEST, POD, Kind

FIELD_MANAGER = "finetune-operator"
CALL_SECONDS = 30.0
"""Deadline of a call, its retries included; an API server answers or cancels within 60 s."""
ATTEMPT_SECONDS = 10.0
FIRST_RETRY_SECONDS = 0.1
ACCEPTED = "application/json, application/jwk-set+json"
"""The second is what the signing keys come as, and as nothing else."""
LIST_CHUNK = 100
"""Objects per page. A job takes some 70 KB of memory while it is looked through: of as many as
client-go's informers ask for, 500, that would be more than all that the operator keeps."""
MAXIMUM_CONNECTIONS = 32


def path_of(kind: Kind, namespace: str | None, name: str = "", subresource: str = "") -> str:
    """The URL path of an object, or of a collection when no name is given."""
    parts = ["apis" if kind.group else "api", kind.api_version]
    if kind.namespaced and namespace:
        parts += ["namespaces", quote(namespace)]
    parts += [kind.plural, *(quote(part) for part in (name, subresource) if part)]
    return "/" + "/".join(parts)


class Client:
    """One session with the API server, to be used as an async context manager."""

    def __init__(
        self,
        connection: Connection,
        call_seconds: float = CALL_SECONDS,
        may_write: Callable[[], bool] = lambda: True,
        namespaces: Sequence[str] = (),
        clock: ServerClock | None = None,
    ) -> None:
        self._connection = connection
        self._may_write = may_write
        """Asked before each attempt: a process that was frozen while it led must not go on."""
        self._namespaces = namespaces
        """All that there are, as far as this session goes; none: those of the cluster."""
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

    async def get(self, kind: Kind, namespace: str | None, name: str) -> JsonObject | None:
        """The object as it is now, or None if there is none."""
        try:
            return await self._request("GET", path_of(kind, namespace, name))
        except errors.NotFoundError:
            return None

    async def list_objects(
        self,
        kind: Kind,
        namespace: str | None = None,
        *,
        labels: str = "",
        fields: str = "",
    ) -> list[JsonObject]:
        """All objects that match both selectors, of one namespace or of all."""
        everywhere = namespace is None and kind.namespaced and self._namespaces
        lists = await asyncio.gather(
            *(
                self.list_at_version(kind, each, labels=labels, fields=fields)
                for each in (self._namespaces if everywhere else (namespace,))
            )
        )
        return [item for items, _ in lists for item in items]

    async def list_at_version(
        self,
        kind: Kind,
        namespace: str | None = None,
        *,
        labels: str = "",
        fields: str = "",
    ) -> tuple[list[JsonObject], str]:
        """The same with the resourceVersion of the list, from which a watch can go on."""
        found: list[JsonObject] = []
        version = ""
        pages = self.pages(kind, namespace, labels=labels, fields=fields)
        async for page, version in pages:  # noqa: B007  # the last one's is that of the list
            found += page
        return found, version

    async def pages(
        self,
        kind: Kind,
        namespace: str | None = None,
        *,
        labels: str = "",
        fields: str = "",
    ) -> AsyncIterator[tuple[list[JsonObject], str]]:
        """The same in parts, for whoever need not have all objects in memory at once."""
        query = {"limit": str(LIST_CHUNK)}
        query |= {"labelSelector": labels} if labels else {}
        query |= {"fieldSelector": fields} if fields else {}
        while True:
            page = await self._request("GET", path_of(kind, namespace), query=query)
            metadata = page.get("metadata", {})
            yield page.get("items") or [], metadata.get("resourceVersion", "")
            token = metadata.get("continue")
            if not token:
                return
            query["continue"] = token

    async def apply(self, manifest: Mapping[str, Any]) -> JsonObject:
        """Server-side apply: creates the object or changes the fields that are ours."""
        kind = BY_MANIFEST[manifest["apiVersion"], manifest["kind"]]
        metadata = manifest["metadata"]
        return await self._request(
            "PATCH",
            path_of(kind, metadata.get("namespace"), metadata["name"]),
            query={"fieldManager": FIELD_MANAGER, "force": "true"},
            body=manifest,
            content_type="application/apply-patch+yaml",
        )

    async def create(self, manifest: Mapping[str, Any]) -> JsonObject:
        """Creates an object that must not be there yet.

        Raises:
            ConflictError: there is one of that name; after a lost answer it may be this very one,
                so whoever asked looks again and decides anew.
        """
        kind = BY_MANIFEST[manifest["apiVersion"], manifest["kind"]]
        return await self._request(
            "POST",
            path_of(kind, manifest["metadata"].get("namespace")),
            query={"fieldManager": FIELD_MANAGER},
            body=manifest,
        )

    async def replace(self, manifest: Mapping[str, Any]) -> JsonObject:
        """PUT: makes the object exactly this one, if it is still of the version given in it.

        Of a kind that may be created so (Lease), one without a version is created.

        Raises:
            ConflictError: the object has changed since it was read, or was replaced.
            RefusedError: also when an object without a version is there already.
        """
        kind = BY_MANIFEST[manifest["apiVersion"], manifest["kind"]]
        metadata = manifest["metadata"]
        return await self._request(
            "PUT",
            path_of(kind, metadata.get("namespace"), metadata["name"]),
            query={"fieldManager": FIELD_MANAGER},
            body=manifest,
        )

    async def patch_status(
        self, kind: Kind, live: JsonObject, status: JsonObject
    ) -> JsonObject | None:
        """Makes `status` the status of the object read as `live`.

        Returns:
            The object as it is now; None if its status was so already.

        Raises:
            ConflictError: the object has changed since it was read.
        """
        patch = merge_patch(live.get("status") or {}, status)
        if not patch:
            return None
        metadata = live["metadata"]
        return await self._request(
            "PATCH",
            path_of(kind, metadata.get("namespace"), metadata["name"], "status"),
            query={"fieldManager": FIELD_MANAGER},
            body={"metadata": {"resourceVersion": metadata["resourceVersion"]}, "status": patch},
            content_type="application/merge-patch+json",
        )

    async def finalize(self, target: Finalize) -> None:
        """Sets the finalizers of that very version of an object.

        Raises:
            ConflictError: the object has changed since it was read.
        """
        meta = {"resourceVersion": target.resource_version, "finalizers": list(target.finalizers)}
        await self._request(
            "PATCH",
            path_of(target.kind, target.namespace, target.name),
            query={"fieldManager": FIELD_MANAGER},
            body={"metadata": meta},
            content_type="application/merge-patch+json",
        )

    async def delete(self, target: Delete) -> None:
        """Deletes that very object, its dependents in the background; gone already is well.

        An object of another uid that has taken the name is left alone.
        """
        options: JsonObject = {
            "propagationPolicy": "Background",
            "preconditions": {"uid": target.uid},
        }
        if target.force:
            options["gracePeriodSeconds"] = 0
        path = path_of(target.kind, target.namespace, target.name)
        try:
            await self._request("DELETE", path, body=options)
        except (errors.NotFoundError, errors.ConflictError):
            return

    async def last_lines(self, namespace: str, pod: str, container: str) -> str:
        """The end of what a container printed, some 20 lines; empty where it cannot be had.

        Asked for once: the kubelet of a lost node never answers, and a job must not wait for it.
        """
        query = {"container": container, "tailLines": "20", "limitBytes": "16384"}
        path = path_of(POD, namespace, pod, "log")
        try:
            return await self._attempt("GET", path, query)
        except errors.ApiError:
            return ""

    async def get_path(self, path: str) -> JsonObject:
        """What the server answers at a path that is no object, such as its signing keys."""
        return await self._request("GET", path)

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
            raise errors.from_status(status, _reason(text), retry_after)
        return text


def _reason(text: str) -> str:
    """The message of a Status object, or the text itself from a proxy in between."""
    try:
        message = json.loads(text).get("message")
    except (ValueError, AttributeError):
        message = None
    return str(message or text[:500])
