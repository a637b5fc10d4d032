"""A way to the API server on which three requests in ten are lost, or their answers."""

from __future__ import annotations

import asyncio
import time
from collections import Counter

from aiohttp import web

from tests.cluster.resilience.chaos.schedule import Answer, Disturbance, disturbance
from tests.cluster.simulation.api import Api
from tests.cluster.simulation.proxy import Proxy

LONGER_THAN_ANYBODY_WAITS = 15.0
"""Seconds; the operator gives an answer ten."""
READS = ("GET", "HEAD")


class DisturbedProxy(Proxy):
    """Disturbs as the seed has it for this replica, until it is told to stop."""

    def __init__(self, api: Api, seed: int, replica: str) -> None:
        super().__init__(api)
        self.struck: Counter[Disturbance] = Counter()
        self.requests = 0
        self.written_at = 0.0
        """When it was asked to change anything last, by the monotonic clock."""
        self._seed = seed
        self._replica = replica
        self._calm = False

    def stop(self) -> None:
        self._calm = True

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.requests += 1
        if request.method not in READS:
            self.written_at = time.monotonic()
        found = None if self._calm else disturbance(self._seed, self._replica, self.requests)
        if found is None:
            return await super()._handle(request)
        if request.method in READS:
            # There is nothing to carry out, and nothing to be in conflict with.
            broken = found.answer is Answer.CONFLICT
            found = Disturbance(Answer.BROKEN if broken else found.answer, carried_out=False)
        self.struck[found] += 1
        if found.carried_out:
            await super()._handle(request)
        return await _instead(found.answer)


async def _instead(answer: Answer) -> web.Response:
    if answer is Answer.NONE:
        await asyncio.sleep(LONGER_THAN_ANYBODY_WAITS)
    code = 504 if answer is Answer.NONE else int(answer)
    status = {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "message": "chaos",
        "code": code,
    }
    headers = {"Retry-After": "1"} if answer is Answer.THROTTLED else None
    return web.json_response(status, status=code, headers=headers)
