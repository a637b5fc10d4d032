"""Objects of the API server as they are now, by one list and one watch of each selection."""

import asyncio
import contextlib
import json
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from finetune_operator.cluster import errors
from finetune_operator.cluster.client import path_of
from finetune_operator.cluster.user_client import UserClient
from finetune_operator.domain.actions import JsonObject
from finetune_operator.domain.kinds import Kind

WATCH_SECONDS = 300
"""After which the API server ends a watch, and another one goes on from there."""
SILENCE_SECONDS = WATCH_SECONDS + 30.0
"""A watch in which nothing happens says so by bookmarks, or ends, before this."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which objects are mirrored."""

    kind: Kind
    namespace: str | None
    """None: of all namespaces."""
    labels: str = ""
    fields: str = ""


class Mirror:
    """Used as an async context; within it `objects` follows the cluster.

    A watch that breaks is begun again with a list, so that nothing is missed; one that cannot be
    ends the mirror with the error of that list, within the deadline of the client's calls.
    """

    def __init__(self, client: UserClient, *selections: Selection) -> None:
        self.objects: dict[Selection, dict[str, JsonObject]] = {each: {} for each in selections}
        """By uid."""
        self._client = client
        self._changed = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        """Raises an ApiError when a list is refused or does not come."""
        versions = await asyncio.gather(*(self._list(each) for each in self.objects))
        self._tasks = [
            asyncio.create_task(self._follow(selection, version))
            for selection, version in zip(self.objects, versions, strict=True)
        ]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def change(self, seconds: float) -> bool:
        """Waits for something to change since the last call; False if nothing does in time.

        Raises:
            ApiError: the mirror has ended.
        """
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), seconds)
        for task in self._tasks:
            if task.done():
                task.result()
        changed = self._changed.is_set()
        self._changed.clear()
        return changed

    async def _list(self, selection: Selection) -> str:
        found, version = await self._client.list_at_version(
            selection.kind, selection.namespace, labels=selection.labels, fields=selection.fields
        )
        self.objects[selection] = {each["metadata"]["uid"]: each for each in found}
        self._changed.set()
        return version

    async def _follow(self, selection: Selection, version: str) -> None:
        try:
            while True:
                try:
                    version = await self._watch(selection, version)
                except errors.ApiError:
                    version = await self._list(selection)
        finally:
            self._changed.set()

    async def _watch(self, selection: Selection, version: str) -> str:
        """Until the server ends it; returns the version to go on from.

        Raises:
            ApiError: it broke, or the version is too old.
        """
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(WATCH_SECONDS),
        }
        query |= {"labelSelector": selection.labels} if selection.labels else {}
        query |= {"fieldSelector": selection.fields} if selection.fields else {}
        path = path_of(selection.kind, selection.namespace)
        lines = self._client.lines(path, query, silence=SILENCE_SECONDS)
        async with contextlib.aclosing(lines):
            async for line in lines:
                event = json.loads(line)
                if event["type"] == "ERROR":
                    status = event["object"]
                    raise errors.from_status(status.get("code", 500), status.get("message", ""))
                version = event["object"]["metadata"]["resourceVersion"]
                self._take(selection, event["type"], event["object"])
        return version

    def _take(self, selection: Selection, what: str, found: JsonObject) -> None:
        uid = found["metadata"].get("uid")
        if what == "DELETED":
            self.objects[selection].pop(uid, None)
        elif what != "BOOKMARK":
            self.objects[selection][uid] = found
        else:
            return
        self._changed.set()
