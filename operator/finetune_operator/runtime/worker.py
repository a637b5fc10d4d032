"""Runs a controller: its queue, its workers, and what happens when a reconciliation fails."""

import asyncio
import logging
import time

from opentelemetry import trace

from finetune_operator.cluster.client import Client
from finetune_operator.cluster.errors import ApiError, ConflictError, NotFoundError
from finetune_operator.cluster.work_queue import WorkQueue
from finetune_operator.domain.actions import JsonObject
from finetune_operator.runtime import metrics
from finetune_operator.runtime.controller import Controller, Key, key_of
from finetune_operator.runtime.logs import about

RECONCILE_SECONDS = 60.0
"""Bound of one reconciliation; each of its calls has a shorter one."""

_log = logging.getLogger(__name__)
_tracer = trace.get_tracer("finetune_operator")


class Runner:
    """One controller at work."""

    def __init__(self, controller: Controller, client: Client) -> None:
        self.controller = controller
        self.name = controller.kind.name.lower()
        self.queue: WorkQueue[Key] = WorkQueue(self.name)
        self._client = client
        self._fingerprints: dict[Key, object] = {}
        metrics.WORKERS.labels(self.name).set(controller.workers)

    def saw(self, event: str | None, item: JsonObject) -> None:
        """Takes a watch event of the controller's own kind.

        A change of the status alone is our own doing and wakes nobody: it raises no generation.
        """
        metadata, key = item["metadata"], key_of(item)
        names = ("uid", "generation", "deletionTimestamp", "labels")
        fingerprint = [metadata.get(name) for name in names]
        known = self._fingerprints.get(key)
        if event == "DELETED":
            self._fingerprints.pop(key, None)
        else:
            self._fingerprints[key] = fingerprint
        news = event != "MODIFIED" or fingerprint != known
        if news and self.controller.saw(event, item):
            self.queue.add(key, patient=event is None)

    def knows(self, key: Key) -> bool:
        """Whether the watch has told of the object, and not that it is gone."""
        return key in self._fingerprints

    async def resync(self, every: float) -> None:
        """Adds every object now and then, in case a change was not seen. Runs for ever."""
        while True:
            await asyncio.sleep(every)
            try:
                async for page, _ in self._client.pages(self.controller.kind):
                    for item in page:
                        if self.controller.saw(None, item):
                            self.queue.add(key_of(item), patient=True)
            except ApiError as error:
                _log.warning("resync of %s: %s", self.name, error)

    async def work(self) -> None:
        """One worker. Runs for ever; whatever a reconciliation raises ends only that one."""
        while True:
            key = await self.queue.get()
            kind = self.controller.kind.name
            with _tracer.start_as_current_span(f"reconcile {kind}") as span, about(kind, key):
                span.set_attribute("k8s.namespace.name", key.namespace)
                span.set_attribute("finetune.object.name", key.name)
                try:
                    await self._reconcile(key)
                finally:
                    self.queue.done(key)

    async def _reconcile(self, key: Key) -> None:
        started = time.monotonic()
        active = metrics.ACTIVE_WORKERS.labels(self.name)
        active.inc()
        result = "success"
        try:
            async with asyncio.timeout(RECONCILE_SECONDS):
                after = await self.controller.reconcile(key)
            self.queue.forget(key)
            if after is not None:
                result = "requeue_after"
                self.queue.add_after(key, after)
        except (ConflictError, NotFoundError) as error:
            # Something was changed or deleted since it was read.
            result = "requeue"
            _log.debug("out of date, looking again in %.1f s: %s", self.queue.retry(key), error)
        except (ApiError, TimeoutError) as error:
            result = self._failed(key)
            _log.warning("tried again soon: %s: %s", type(error).__name__, error)
        except Exception:
            result = self._failed(key)
            _log.exception("a defect of this operator; tried again later")
        finally:
            active.dec()
            span = trace.get_current_span()
            span.set_attribute("finetune.result", result)
            if result == "error":
                span.set_status(trace.StatusCode.ERROR)
            metrics.RECONCILES.labels(self.name, result).inc()
            metrics.RECONCILE_SECONDS.labels(self.name).observe(time.monotonic() - started)

    def _failed(self, key: Key) -> str:
        metrics.RECONCILE_ERRORS.labels(self.name).inc()
        self.queue.retry(key)
        return "error"
