"""Records Kubernetes events, each under a name made from what it says.

The same event of the same object is one Event whose count rises, so that a repeat never fills
the namespace. They are written behind the work, one after the other and not faster than anybody
reads them: what tells of a job keeps neither that job waiting nor, where a thousand come at once,
the others. What waits when the operator ends is lost, and failing to record is logged and nothing
more: conditions are the truth.
"""

import asyncio
import hashlib
import logging
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from finetune_operator.cluster.client import Client
from finetune_operator.cluster.errors import ApiError, ConflictError, NotFoundError
from finetune_operator.cluster.session import FIELD_MANAGER
from finetune_operator.domain.actions import Event, JsonObject
from finetune_operator.domain.kinds import EVENT

REMEMBERED = 4096
WAITING = 10_000
"""Events that are kept until they are written: one each of ten thousand jobs that come at once."""
WRITES_PER_SECOND = 20
"""Of a thousand jobs that come at once, the last is told of 50 s later."""
MESSAGE_LIMIT = 1024
"""Characters; the API server refuses longer messages of events."""

_log = logging.getLogger(__name__)


class EventRecorder:
    """Writes events about our own objects, in their namespaces."""

    def __init__(
        self, client: Client, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._client = client
        self._sleep = sleep
        self._seen: OrderedDict[str, tuple[int, str]] = OrderedDict()
        """Name of the Event → how often it happened, and first when."""
        self._waiting: deque[tuple[JsonObject, Event, datetime]] = deque()
        """Of what object, what, and when."""
        self._more = asyncio.Event()

    def record(self, subject: JsonObject, event: Event, now: datetime) -> None:
        """Will create the Event, or raise its count."""
        if len(self._waiting) == WAITING:
            _, lost, _ = self._waiting.popleft()
            _log.warning("event %s was not recorded: too many wait", lost.reason)
        self._waiting.append((_reference(subject), event, now))
        self._more.set()

    async def keep_up(self) -> None:
        """Writes for ever what is recorded."""
        while True:
            await self._more.wait()
            self._more.clear()
            await self.catch_up()

    async def catch_up(self) -> None:
        """Writes all that waits, `WRITES_PER_SECOND` of it in each. Never raises an ApiError."""
        while self._waiting:
            await self._write_next()
            await self._sleep(1 / WRITES_PER_SECOND)

    async def _write_next(self) -> None:
        involved, event, moment = self._waiting.popleft()
        try:
            await self._write(self._manifest(involved, event, moment))
        except ApiError as error:
            _log.warning("event %s was not recorded: %s", event.reason, error)

    async def _write(self, manifest: JsonObject) -> None:
        """Most events happen once, and to create one is the least work for the API server."""
        if manifest["count"] == 1:
            try:
                await self._client.create(manifest)
            except ConflictError:
                # Of an operator before this one, or the answer to this very request was lost.
                await self._go_on(manifest)
            return
        try:
            await self._client.merge(manifest)
        except NotFoundError:
            await self._client.create(manifest)  # its hour was over

    async def _go_on(self, manifest: JsonObject) -> None:
        """Counts on from what is stored."""
        name, namespace = manifest["metadata"]["name"], manifest["metadata"]["namespace"]
        selected = f"metadata.name={name}"
        for stored in await self._client.list_objects(EVENT, namespace, fields=selected):
            if stored.get("lastTimestamp") == manifest["lastTimestamp"]:
                return  # this very one
            count, first = stored.get("count", 0) + 1, stored.get("firstTimestamp")
            self._seen[name] = (count, first or manifest["firstTimestamp"])
            known = {"count": count, "firstTimestamp": self._seen[name][1]}
            await self._client.merge({**manifest, **known})

    def _manifest(self, involved: JsonObject, event: Event, now: datetime) -> JsonObject:
        identity = f"{involved['uid']}/{event.reason}/{event.message}"
        name = f"{involved['name']}.{hashlib.sha256(identity.encode()).hexdigest()[:16]}"
        moment = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        count, first = self._seen.pop(name, (0, moment))
        self._seen[name] = (count + 1, first)
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": involved["namespace"]},
            "involvedObject": involved,
            "type": "Warning" if event.warning else "Normal",
            "reason": event.reason,
            "message": event.message[:MESSAGE_LIMIT],
            "source": {"component": FIELD_MANAGER},
            "reportingComponent": FIELD_MANAGER,
            "count": count + 1,
            "firstTimestamp": first,
            "lastTimestamp": moment,
        }


def _reference(subject: JsonObject) -> JsonObject:
    """No more of an object than names it."""
    metadata = subject["metadata"]
    of_metadata = {each: metadata[each] for each in ("namespace", "name", "uid")}
    return {"apiVersion": subject["apiVersion"], "kind": subject["kind"], **of_metadata}
