"""Sends spans over OTLP/HTTP, where OpenTelemetry's own variables name an endpoint.

The SDK sends from a thread of its own: the event loop never waits for a collector, and what one
does not take in time is dropped and logged.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

from finetune_operator.runtime.job_traces import IDS

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
LAST_MILLISECONDS = 5000
"""How long the end of the process waits for what is not sent yet."""


class _Ids(RandomIdGenerator):
    """Random, but for spans whose ids are made from a job's uid."""

    def generate_trace_id(self) -> int:
        given = IDS.get()
        return given[0] if given else super().generate_trace_id()

    def generate_span_id(self) -> int:
        given = IDS.get()
        return given[1] if given else super().generate_span_id()


@contextmanager
def exporting() -> Iterator[None]:
    """Sends what is traced within, if there is an endpoint; at most once in a process."""
    if not any(os.environ.get(each) for each in ENDPOINTS):
        yield
        return
    provider = TracerProvider(
        # A trace of which some spans are missing tells nothing; a collector may drop whole ones.
        sampler=ALWAYS_ON,
        resource=Resource.create(
            {SERVICE_NAME: os.environ.get("OTEL_SERVICE_NAME", "finetune-operator")}
        ),
        id_generator=_Ids(),
        shutdown_on_exit=False,
    )
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    try:
        yield
    finally:
        provider.force_flush(LAST_MILLISECONDS)
        provider.shutdown()
