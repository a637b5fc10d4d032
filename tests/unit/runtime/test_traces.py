"""Spans as a collector receives them: OTLP over HTTP, decoded by the protocol's own messages."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import cast
from uuid import UUID

import pytest
from opentelemetry import trace
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from finetune_operator.cluster.client import Client
from finetune_operator.cluster.errors import ConflictError
from finetune_operator.domain.kinds import FINE_TUNE_JOB
from finetune_operator.runtime.controller import Controller, Key
from finetune_operator.runtime.logs import JsonFormatter
from finetune_operator.runtime.otlp import exporting
from finetune_operator.runtime.worker import Runner
from tests.unit.domain.in_memory import START
from tests.unit.runtime.in_memory_api import (
    InMemoryApi,
    at_work,
    gpu_job,
    to_the_end,
    to_training,
)


class Collector:
    """Takes what is posted to /v1/traces."""

    def __init__(self) -> None:
        self.requests: list[ExportTraceServiceRequest] = []
        received = self.requests

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                assert self.path == "/v1/traces"
                received.append(ExportTraceServiceRequest.FromString(body))
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *arguments: object) -> None:
                """Says nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def spans(self) -> list[Span]:
        """Everything that was sent."""
        trace.get_tracer_provider().force_flush()  # type: ignore[attr-defined]
        return [
            span
            for request in self.requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def trace_of(self, world: InMemoryApi) -> list[Span]:
        """The spans of a job's trace, as they began."""
        own = UUID(world.job.metadata.uid).bytes
        found = [span for span in self.spans() if span.trace_id == own]
        return sorted(found, key=lambda span: (span.start_time_unix_nano, span.name))


@pytest.fixture(scope="session")
def collector() -> Iterator[Collector]:
    """One for all tests of a process, which can be told only once where to send spans."""
    made = Collector()
    thread = threading.Thread(target=made.server.serve_forever)
    thread.start()
    with pytest.MonkeyPatch.context() as patch:
        url = f"http://127.0.0.1:{made.server.server_port}"
        patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        with exporting():
            yield made
    made.server.shutdown()
    made.server.server_close()
    thread.join()


def seconds(span: Span) -> float:
    return (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9


async def test_one_trace_goes_from_apply_to_publish(collector: Collector) -> None:
    world = InMemoryApi(gpu_job())
    async with at_work(world) as operator:
        await to_the_end(operator, world, await to_training(operator, world))
    spans = collector.trace_of(world)
    assert [(span.name, seconds(span)) for span in spans] == [
        ("FineTuneJob", 660),
        ("prepare", 40),
        ("attempt 1", 605),
        ("provision", 5),
        ("queue", 0),
        ("publish", 15),
    ]
    root = spans[0]
    assert (root.parent_span_id, root.start_time_unix_nano) == (b"", START.timestamp() * 1e9)
    assert {span.parent_span_id for span in spans[1:]} == {root.span_id}
    assert {span.status.code for span in spans} == {Status.STATUS_CODE_UNSET}
    named = {each.key: each.value.string_value for each in root.attributes}
    assert named["finetune.job.name"] == "chat"
    assert named["k8s.namespace.name"] == "team"


async def test_an_operator_that_is_started_anew_goes_on_with_the_trace(
    collector: Collector,
) -> None:
    world = InMemoryApi(gpu_job())
    async with at_work(world) as first:
        pod = await to_training(first, world)
        world.now += timedelta(seconds=100)
        world.evict(pod)
        world.end(pod, 13)
    async with at_work(world) as second:
        await second.settle()
        world.make_pods()
        (pod,) = world.pods()
        world.run(pod)
        await second.settle()
        await to_the_end(second, world, pod)
    spans = {span.name: span for span in collector.trace_of(world)}
    assert seconds(spans["attempt 1"]) == 105
    assert spans["attempt 1"].status.code == Status.STATUS_CODE_ERROR
    assert spans["attempt 1"].status.message == "Disrupted"
    assert seconds(spans["attempt 2"]) == 600
    assert {span.parent_span_id for span in spans.values()} == {b"", spans["FineTuneJob"].span_id}


async def test_every_reconciliation_is_a_trace_of_its_own_linked_with_the_job(
    collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    world = InMemoryApi(gpu_job())
    formatter = JsonFormatter()
    lines: list[dict[str, str]] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(json.loads(formatter.format(record)))

    keep = Keep()
    logging.getLogger("finetune_operator").addHandler(keep)
    try:
        with caplog.at_level(logging.INFO, "finetune_operator"):
            async with at_work(world) as operator:
                await operator.settle()
    finally:
        logging.getLogger("finetune_operator").removeHandler(keep)
    own = UUID(world.job.metadata.uid).bytes
    found = [span for span in collector.spans() if any(link.trace_id == own for link in span.links)]
    assert {span.name for span in found} == {"reconcile FineTuneJob"}
    assert len({span.trace_id for span in found}) == len(found) > 1
    (accepted,) = [line for line in lines if line["message"].startswith("Accepted: ")]
    assert bytes.fromhex(accepted["trace"]) in {span.trace_id for span in found}
    assert (accepted["kind"], accepted["object"]) == ("FineTuneJob", "team/chat")
    by_time = {line["reconcile"]: line["trace"] for line in lines}
    assert len(by_time) == len(set(by_time.values())) > 1


async def test_how_a_reconciliation_went_is_seen(collector: Collector) -> None:
    enough = asyncio.Event()
    ends = [ConflictError("changed"), RuntimeError("a defect"), None]

    async def reconcile(key: Key) -> float | None:
        end = ends.pop(0)
        if end is not None:
            raise end
        enough.set()
        return None

    runner = Runner(Controller(FINE_TUNE_JOB, (), reconcile), cast(Client, None))
    worker = asyncio.create_task(runner.work())
    runner.queue.add(Key("of-the-test", "chat"))
    async with asyncio.timeout(10):
        await enough.wait()
    worker.cancel()
    await asyncio.gather(worker, return_exceptions=True)
    found = [
        ({each.key: each.value.string_value for each in span.attributes}, span.status.code)
        for span in collector.spans()
    ]
    went = [
        (attributes["finetune.result"], code == Status.STATUS_CODE_ERROR)
        for attributes, code in found
        if attributes.get("k8s.namespace.name") == "of-the-test"
    ]
    assert went == [("requeue", False), ("error", True), ("success", False)]
