"""The API server's own record of who wrote what."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.cluster.conftest import OPERATOR_NAMESPACE

OPERATOR = f"system:serviceaccount:{OPERATOR_NAMESPACE}:finetune-operator"
READS = frozenset({"get", "list", "watch"})

Event = dict[str, Any]


class AuditLog:
    """What was added to the log since this object was made."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._from = path.stat().st_size

    def operator(self) -> list[Event]:
        """Requests of the operator, the oldest first."""
        return [event for event in self._events(OPERATOR) if event["user"]["username"] == OPERATOR]

    def namespace(self, name: str) -> list[Event]:
        """Requests about objects of a namespace, whoever made them, the oldest first."""
        return [
            event
            for event in self._events(name)
            if event.get("objectRef", {}).get("namespace") == name
        ]

    def wait_for(self, until: Callable[[list[Event]], bool], *, deadline: float) -> list[Event]:
        """The operator's requests once `until` holds for them; nothing announces a line of it."""
        end = time.monotonic() + deadline
        while not until(found := self.operator()):
            assert time.monotonic() < end, f"not so within {deadline} s, in {len(found)} requests"
            time.sleep(1)
        return found

    def _events(self, word: str) -> Iterator[Event]:
        with self._path.open() as lines:
            lines.seek(self._from)
            for line in lines:
                if word in line and line.endswith("\n"):
                    with contextlib.suppress(json.JSONDecodeError):  # its writer was killed in it
                        yield json.loads(line)


def resource(event: Event) -> str:
    """Such as `finetunejobs/status`; empty for a request that is about no object."""
    reference = event.get("objectRef", {})
    parts = (reference.get("resource", ""), reference.get("subresource", ""))
    return "/".join(part for part in parts if part)


def at(event: Event) -> datetime:
    """When it was answered."""
    return datetime.fromisoformat(event["stageTimestamp"])
