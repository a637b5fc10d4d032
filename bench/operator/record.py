"""What the operator asks the API server for, from the server's own record."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Request:
    """One of them."""

    verb: str
    resource: str
    """Plural, with the subresource if there is one."""
    uri: str
    body: dict[str, Any] | None
    code: int

    @property
    def method(self) -> str:
        """Of HTTP."""
        return {"create": "POST", "patch": "PATCH", "update": "PUT", "delete": "DELETE"}.get(
            self.verb, "GET"
        )

    @property
    def content_type(self) -> str:
        """Of the body."""
        if self.verb != "patch":
            return "application/json"
        applied = "force=true" in self.uri
        return f"application/{'apply-patch+yaml' if applied else 'merge-patch+json'}"


def read(log: Path) -> list[Request]:
    """Every request that is written down, in the order of the answers; no watches."""
    found = []
    for line in log.read_text(encoding="utf-8").splitlines():
        event = json.loads(line)
        reference = event.get("objectRef") or {}
        parts = (reference.get("resource", ""), reference.get("subresource", ""))
        if event["verb"] == "watch":
            continue
        found.append(
            Request(
                event["verb"],
                "/".join(part for part in parts if part),
                event["requestURI"],
                event.get("requestObject"),
                event["responseStatus"]["code"],
            )
        )
    return found


def of_job(requests: Iterable[Request], name: str) -> list[Request]:
    """Those that name a FineTuneJob, or an object that is called after it, or read its class."""
    return [
        each
        for each in requests
        if name in each.uri
        or name in (each.body or {}).get("metadata", {}).get("name", "")
        or (each.verb, each.resource) == ("get", "finetuneclasses")
    ]


def counted(requests: Iterable[Request]) -> Counter[tuple[str, str]]:
    """How many, by verb and resource."""
    return Counter((each.verb, each.resource) for each in requests)
