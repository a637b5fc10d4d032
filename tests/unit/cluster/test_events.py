"""One Event for what happens to one object, however often, and whoever tells it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from finetune_operator.cluster.events import WAITING, WRITES_PER_SECOND, EventRecorder
from finetune_operator.domain.actions import Event
from tests.unit.cluster.test_client import Answer, served

SUBJECT = {
    "apiVersion": "finetune.dev/v1beta1",
    "kind": "FineTuneJob",
    "metadata": {"namespace": "team", "name": "chat", "uid": "0123"},
}
NOW = datetime(2026, 11, 28, 4, 0, tzinfo=UTC)
LATER = NOW + timedelta(minutes=5)
TOLD = Event("Disrupted", "attempt 1 ended", warning=True)


class Stored:
    """The Events of an API server."""

    def __init__(self) -> None:
        self.events: dict[str, dict[str, Any]] = {}
        self.lost_answers = 0

    def answer(self, method: str, path: str, body: dict[str, Any] | None) -> Answer:
        if method == "GET":
            return 200, {"items": list(self.events.values())}
        assert body is not None
        name = body["metadata"]["name"]
        if method == "POST" and name in self.events:
            return 409, {"message": "already exists"}
        if method == "PATCH" and name not in self.events:
            return 404, {"message": "not found"}
        assert method == "POST" or path.endswith(f"/events/{name}?fieldManager=finetune-operator")
        self.events[name] = self.events.get(name, {}) | body
        if self.lost_answers:
            self.lost_answers -= 1
            return 500, {"message": "lost"}
        return 200, self.events[name]


async def recorded(stored: Stored, *operators: list[datetime]) -> list[tuple[str, str]]:
    """Method and path of all requests of operators, one after the other, each of which records the
    same at such times."""
    async with served(lambda _: (500, {})) as (client, server):
        server._answer = lambda _: stored.answer(*server.requests[-1])
        for times in operators:
            recorder = EventRecorder(client)
            for each in times:
                recorder.record(SUBJECT, TOLD, each)
            await recorder.catch_up()
        return [(method, path) for method, path, _ in server.requests]


async def keeps_up(recorder: EventRecorder, until: asyncio.Event) -> None:
    keeping_up = asyncio.create_task(recorder.keep_up())
    try:
        await asyncio.wait_for(until.wait(), 10)
    finally:
        keeping_up.cancel()
        await asyncio.gather(keeping_up, return_exceptions=True)


def only(stored: Stored) -> dict[str, Any]:
    (event,) = stored.events.values()
    return event


async def test_what_happens_once_is_one_request() -> None:
    stored = Stored()
    [(method, path)] = await recorded(stored, [NOW])
    assert (method, path.partition("?")[0]) == ("POST", "/api/v1/namespaces/team/events")
    event = only(stored)
    assert (event["count"], event["type"], event["reason"]) == (1, "Warning", "Disrupted")
    assert event["involvedObject"]["uid"] == "0123"


async def test_what_happens_again_is_counted() -> None:
    stored = Stored()
    requests = await recorded(stored, [NOW, LATER])
    assert [method for method, _ in requests] == ["POST", "PATCH"]
    event = only(stored)
    assert event["count"] == 2
    assert event["firstTimestamp"] == "2026-11-28T04:00:00Z"
    assert event["lastTimestamp"] == "2026-11-28T04:05:00Z"


async def test_an_operator_counts_on_where_the_one_before_it_ended() -> None:
    stored = Stored()
    await recorded(stored, [NOW, NOW], [LATER, LATER])
    event = only(stored)
    assert event["count"] == 4
    assert event["firstTimestamp"] == "2026-11-28T04:00:00Z"
    assert event["lastTimestamp"] == "2026-11-28T04:05:00Z"


async def test_one_whose_answer_was_lost_is_not_counted_twice() -> None:
    stored = Stored()
    stored.lost_answers = 1
    requests = await recorded(stored, [NOW])
    assert [method for method, _ in requests] == ["POST", "POST", "GET"]
    assert only(stored)["count"] == 1


async def test_one_that_the_server_has_forgotten_is_made_again() -> None:
    stored = Stored()
    async with served(lambda _: (500, {})) as (client, server):
        server._answer = lambda _: stored.answer(*server.requests[-1])
        recorder = EventRecorder(client)
        recorder.record(SUBJECT, TOLD, NOW)
        await recorder.catch_up()
        stored.events.clear()
        recorder.record(SUBJECT, TOLD, LATER)
        await recorder.catch_up()
    assert only(stored)["count"] == 2
    assert only(stored)["firstTimestamp"] == "2026-11-28T04:00:00Z"


async def test_what_cannot_be_recorded_is_no_failure() -> None:
    async with served(lambda _: (403, {"message": "no"})) as (client, _):
        recorder = EventRecorder(client)
        recorder.record(SUBJECT, TOLD, NOW)
        await recorder.catch_up()


async def test_they_are_written_behind_the_work() -> None:
    """And the oldest is given up where more wait than can be kept."""
    stored, three = Stored(), asyncio.Event()

    def answer(*request: Any) -> Answer:
        made = stored.answer(*request)
        if len(stored.events) == 3:
            three.set()
        return made

    async with served(lambda _: (500, {})) as (client, server):
        server._answer = lambda _: answer(*server.requests[-1])
        recorder = EventRecorder(client)
        for number in range(WAITING + 1):
            recorder.record(SUBJECT, Event("Told", str(number)), NOW)
        assert server.requests == []
        await keeps_up(recorder, three)
    assert [each["message"] for each in stored.events.values()][:3] == ["1", "2", "3"]


async def test_they_are_not_written_faster_than_anybody_reads() -> None:
    paused: list[float] = []
    written = asyncio.Event()

    async def sleep(seconds: float) -> None:
        paused.append(seconds)
        if len(paused) == 3:
            written.set()

    stored = Stored()
    async with served(lambda _: (500, {})) as (client, server):
        server._answer = lambda _: stored.answer(*server.requests[-1])
        recorder = EventRecorder(client, sleep)
        for number in range(3):
            recorder.record(SUBJECT, Event("Told", str(number)), NOW)
        await keeps_up(recorder, written)
    assert paused == [1 / WRITES_PER_SECOND] * 3
    assert len(stored.events) == 3
