"""A report that any replica takes reaches the one that leads, or its trainer hears that it did not.

Both replicas are real endpoints on loopback.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import cast

import pytest
from aiohttp.test_utils import TestClient, TestServer

from finetune_operator.cluster.lease import Unopposed
from finetune_operator.runtime import relay
from finetune_operator.runtime.controller import Key
from finetune_operator.runtime.endpoints import progress_endpoint
from finetune_operator.runtime.progress_book import ProgressBook
from finetune_operator.runtime.tokens import TokenVerifier
from tests.unit.runtime.test_endpoints import BEARER, PATH, REPORT, Verifier

KEY = Key("team", "chat")


class Replica(Unopposed):
    """One that leads or knows where the leader is, and its endpoint."""

    def __init__(self, url: str = "") -> None:
        self.url = url
        self.leading = False
        self.book = ProgressBook(lambda key, seconds: None)
        self.client: TestClient  # type: ignore[type-arg]

    def leads(self) -> bool:
        return self.leading

    def progress_url(self) -> str:
        return self.url

    async def serve(self, stack: AsyncExitStack) -> None:
        passing_on = await stack.enter_async_context(relay.relaying(self))
        verifier = cast(TokenVerifier, Verifier())
        server = TestServer(progress_endpoint(self.book, verifier, passing_on))
        self.client = await stack.enter_async_context(TestClient(server))

    async def post(self, **headers: str) -> int:
        answer = await self.client.post(PATH, json=REPORT, headers=headers)
        return answer.status


@pytest.fixture
async def pair() -> AsyncIterator[tuple[Replica, Replica]]:
    """The one that leads, and one that stands by."""
    leader, standby = Replica(), Replica()
    async with AsyncExitStack() as stack:
        await leader.serve(stack)
        await standby.serve(stack)
        leader.leading = True
        standby.url = str(leader.client.make_url("")).rstrip("/")
        yield leader, standby


async def test_the_leader_gets_what_the_standby_was_told(pair: tuple[Replica, Replica]) -> None:
    leader, standby = pair
    assert await standby.post(**BEARER) == 204
    known = leader.book.get(KEY)
    assert known is not None
    assert known.step == REPORT["step"]
    assert standby.book.get(KEY) is None


async def test_the_leader_judges_and_its_words_come_back(pair: tuple[Replica, Replica]) -> None:
    _, standby = pair
    answer = await standby.client.post(PATH, json=REPORT, headers={"Authorization": "Bearer bad"})
    assert (answer.status, (await answer.json())["error"]["message"]) == (401, "not believed")
    answer = await standby.client.post(PATH, json=REPORT | {"step": -1}, headers=BEARER)
    assert answer.status == 422
    answer = await standby.client.post(PATH, data=b"x" * 5000, headers=BEARER)
    assert answer.status == 413


async def test_a_trainer_hears_that_nobody_leads(pair: tuple[Replica, Replica]) -> None:
    leader, standby = pair
    standby.url = ""
    assert await standby.post(**BEARER) == 503
    assert leader.book.get(KEY) is None


async def test_two_that_take_each_other_for_the_leader_do_not_play_ball(
    pair: tuple[Replica, Replica],
) -> None:
    leader, standby = pair
    leader.leading = False
    leader.url = str(standby.client.make_url("")).rstrip("/")
    assert await standby.post(**BEARER) == 503


async def test_a_trainer_hears_that_the_leader_is_gone(
    pair: tuple[Replica, Replica], monkeypatch: pytest.MonkeyPatch
) -> None:
    leader, standby = pair
    await leader.client.server.close()
    assert await standby.post(**BEARER) == 503


async def test_a_name_cannot_lead_the_report_elsewhere(pair: tuple[Replica, Replica]) -> None:
    leader, standby = pair
    answer = await standby.client.post(
        "/v1/progress/team/..%2F..%2Fother", json=REPORT, headers=BEARER
    )
    assert answer.status in (204, 404)
    assert leader.book.get(Key("team", "other")) is None
