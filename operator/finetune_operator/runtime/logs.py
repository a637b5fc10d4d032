"""Logs: a JSON object a line, each with the object that was being worked on."""

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime

_about: ContextVar[tuple[str, str] | None] = ContextVar("about", default=None)


@contextmanager
def about(kind: str, key: object) -> Iterator[None]:
    """Every line logged within carries this object."""
    token = _about.set((kind, str(key)))
    try:
        yield
    finally:
        _about.reset(token)


class JsonFormatter(logging.Formatter):
    """`{"time", "level", "logger", "message"}`, and `kind`, `object` and `error` where known."""

    def format(self, record: logging.LogRecord) -> str:
        """One line of JSON."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if (subject := _about.get()) is not None:
            line["kind"], line["object"] = subject
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
