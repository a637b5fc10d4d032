"""Logs: a JSON object a line, each with the object that was being worked on."""

import json
import logging
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime

from opentelemetry.trace import format_trace_id, get_current_span

_about: ContextVar[dict[str, str] | None] = ContextVar("about", default=None)


@contextmanager
def about(kind: str, key: object) -> Iterator[None]:
    """Every line logged within carries this object, and an id that no other time has."""
    subject = {"kind": kind, "object": str(key), "reconcile": secrets.token_hex(4)}
    token = _about.set(subject)
    try:
        yield
    finally:
        _about.reset(token)


class JsonFormatter(logging.Formatter):
    """`{"time", "level", "logger", "message"}`; where known `kind`, `object` and `reconcile`, which
    tells the lines of one reconciliation from another's; `trace` where spans are exported, and
    `error`."""

    def format(self, record: logging.LogRecord) -> str:
        """One line of JSON."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if (subject := _about.get()) is not None:
            line |= subject
        traced = get_current_span().get_span_context()
        if traced.is_valid:
            line["trace"] = format_trace_id(traced.trace_id)
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def configure(level: str) -> None:
    """Sends everything to standard error as JSON; libraries only what is wrong."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for noisy in ("kopf", "aiohttp.access", "kubernetes", "azure"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    # A collector that is away: once for each batch is enough, not at each try.
    logging.getLogger("opentelemetry").setLevel(logging.ERROR)
