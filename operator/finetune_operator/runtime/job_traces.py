"""One trace for each FineTuneJob, from when it was applied to its end.

Its ids are made from the job's uid: so any replica, and an operator that was started anew, goes on
with the same trace. A stage becomes a span when it is over, out of moments that the status holds;
nothing is remembered meanwhile. Where no spans are sent (runtime/otlp.py), this does nothing.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from uuid import UUID

from opentelemetry import trace as api
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, SpanContext, StatusCode, TraceFlags

from finetune_operator.api.conditions import ConditionType
from finetune_operator.api.fine_tune_job import FineTuneJob
from finetune_operator.domain.telling import Passed, Stage, Told

ROOT = "FineTuneJob"
"""Name of the span that all others of a job are part of."""

IDS: ContextVar[tuple[int, int] | None] = ContextVar("ids", default=None)
"""Trace and span id of the span that is being made; None: any."""

_TRACER = api.get_tracer("finetune_operator")


def trace(job: FineTuneJob, told: Told) -> None:
    """Makes spans of what a change of a job's status says is over."""
    for each in told.passed:
        _stage(job, each)
    created, end = job.metadata.creation_timestamp, told.finished
    if end is not None and created is not None:
        reason = end.reason if end.type == ConditionType.FAILED else ""
        _span(job, ROOT, created, end.last_transition_time, reason)


def link(job: FineTuneJob) -> None:
    """Links the reconciliation that is going on with the trace of its job.

    A training of days is looked at some ten thousand times: too often for one trace.
    """
    api.get_current_span().add_link(_root(job))


def _stage(job: FineTuneJob, passed: Passed) -> None:
    name = passed.stage.value.lower()
    if passed.stage is Stage.ATTEMPT:
        name = f"{name} {passed.attempt}"
    _span(job, name, passed.began, passed.ended, passed.reason)


def _span(job: FineTuneJob, name: str, began: datetime, ended: datetime, reason: str) -> None:
    metadata = job.metadata
    attributes = {
        "k8s.namespace.name": metadata.namespace,
        "finetune.job.name": metadata.name,
        "finetune.class.name": job.spec.class_name,
    }
    root = _root(job)
    if name == ROOT:
        around, span_id = Context(), root.span_id
    else:
        around = api.set_span_in_context(NonRecordingSpan(root), Context())
        span_id = _span_id(f"{metadata.uid}/{name}/{began.isoformat()}")
    with _with_ids(root.trace_id, span_id):
        span = _TRACER.start_span(
            name, around, attributes=attributes, start_time=_nanoseconds(began)
        )
    if reason:
        span.set_attribute("finetune.reason", reason)
        span.set_status(StatusCode.ERROR, reason)
    span.end(_nanoseconds(ended))


def _root(job: FineTuneJob) -> SpanContext:
    """The uid itself is the trace id: who has one can look the other up."""
    uid = job.metadata.uid
    return SpanContext(
        UUID(uid).int, _span_id(uid), is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED)
    )


def _span_id(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])


def _nanoseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1000) * 1_000_000


@contextmanager
def _with_ids(trace_id: int, span_id: int) -> Iterator[None]:
    token = IDS.set((trace_id, span_id))
    try:
        yield
    finally:
        IDS.reset(token)
