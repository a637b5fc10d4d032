"""Events of the cluster about a job and what belongs to it, the newest last."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from finetune_operator.domain.actions import JsonObject
from finetune_operator.domain.kinds import FINE_TUNE_JOB
from finetune_operator.domain.views import last_seen


@dataclass(frozen=True, slots=True)
class Happening:
    """One event, perhaps of several times."""

    last: datetime
    count: int
    warning: bool
    reason: str
    about: str
    """The object's kind and name, as kubectl takes them."""
    about_job: bool
    message: str


def happenings(events: Iterable[JsonObject]) -> list[Happening]:
    """By when they happened last."""
    return [_happening(event) for event in sorted(events, key=last_seen)]


def _happening(event: JsonObject) -> Happening:
    about = event.get("involvedObject", {})
    kind = str(about.get("kind", ""))
    series = event.get("series") or {}
    return Happening(
        last=datetime.fromisoformat(last_seen(event)),
        count=event.get("count") or series.get("count") or 1,
        warning=event.get("type") == "Warning",
        reason=event.get("reason", ""),
        about=f"{kind.lower()}/{about.get('name', '')}",
        about_job=kind == FINE_TUNE_JOB.name,
        message=event.get("message", "").strip(),
    )
