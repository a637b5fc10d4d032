"""Probes tell what is wrong; the progress endpoint takes only what it can believe."""

from __future__ import annotations

from typing import Any, cast

import pytest
from aiohttp.test_utils import TestClient, TestServer

from finetune_operator.cluster.lease import Unopposed
from finetune_operator.runtime.controller import Key
from finetune_operator.runtime.endpoints import BODY_LIMIT, probes, progress_endpoint
from finetune_operator.runtime.progress_book import ProgressBook
from finetune_operator.runtime.relay import relaying
from finetune_operator.runtime.tokens import TokenError, TokenVerifier

REPORT = {"attempt": 1, "stage": "Training", "step": 7, "totalSteps": 100}
BEARER = {"Authorization": "Bearer good"}
PATH = "/v1/progress/team/chat"


class Verifier:
    """Believes one token."""

    async def verify(self, token: str, key: Key, attempt: int) -> None:
        if token != "good":
            raise TokenError("not believed")


@pytest.mark.parametrize(("problem", "status"), [("", 200), ("a worker is stuck", 503)])
async def test_probes(problem: str, status: int) -> None:
    async with TestClient(TestServer(probes(lambda: problem, lambda: ""))) as client:
        answer = await client.get("/healthz")
        assert (answer.status, await answer.text()) == (status, problem or "ok")
        assert (await client.get("/readyz")).status == 200


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (REPORT, BEARER, 204),
        (REPORT, {}, 401),
        (REPORT, {"Authorization": "Bearer bad"}, 401),
        (REPORT, {"Authorization": "Basic good"}, 401),
        ({**REPORT, "step": "seven"}, BEARER, 422),
        ({**REPORT, "more": 1}, BEARER, 422),
        ({**REPORT, "stage": "x" * BODY_LIMIT}, BEARER, 413),
    ],
)
async def test_progress(body: dict[str, Any], headers: dict[str, str], status: int) -> None:
    book = ProgressBook(lambda key, seconds: None)
    async with relaying(Unopposed()) as relay:
        application = progress_endpoint(book, cast(TokenVerifier, Verifier()), relay)
        async with TestClient(TestServer(application)) as client:
            answer = await client.post(PATH, json=body, headers=headers)
            assert answer.status == status
    known = book.get(Key("team", "chat"))
    assert (known is not None and known.step == 7) == (status == 204)


async def test_a_report_that_is_older_than_what_is_known_is_refused() -> None:
    book = ProgressBook(lambda key, seconds: None)
    async with relaying(Unopposed()) as relay:
        application = progress_endpoint(book, cast(TokenVerifier, Verifier()), relay)
        async with TestClient(TestServer(application)) as client:
            statuses = [
                (await client.post(PATH, json={**REPORT, "step": step}, headers=BEARER)).status
                for step in (7, 7, 6, 8)
            ]
    assert statuses == [204, 204, 409, 204]
