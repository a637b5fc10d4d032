"""Passes progress on to the replica that leads: the Service leads trainers to any of them.

The token goes along and is verified there. A report that cannot be passed on is refused, and its
trainer, which has it still, posts it again seconds later: so none is lost, and none is held by a
replica that will not write it down. Selecting the leader alone by readiness would keep a rolling
upgrade waiting for ever, by a label would need the right to change pods.
"""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import quote

import aiohttp
from aiohttp import web

from finetune_operator.cluster.lease import Leadership
from finetune_operator.runtime.controller import Key

RELAY_SECONDS = 3.0
"""A trainer waits for 5 s."""
KEPT_SECONDS = 5.0
"""Of connections to the leader, which closes those that are silent for 15 s."""
RELAYED = "Finetune-Relayed"
"""Header of a report that comes from another replica: it goes no further."""

_log = logging.getLogger(__name__)


class NoLeaderError(Exception):
    """Nobody takes progress at this moment."""


class Relay:
    """Knows whether to take a report or whom to pass it on to."""

    def __init__(self, leadership: Leadership, session: aiohttp.ClientSession) -> None:
        self._leadership = leadership
        self._session = session

    def is_needed(self) -> bool:
        """Whether it is for another replica to take reports."""
        return not self._leadership.leads()

    async def pass_on(self, key: Key, request: web.Request, body: bytes) -> web.Response:
        """What the leader answers.

        Raises:
            NoLeaderError: there is none, or it does not answer.
        """
        place = self._leadership.progress_url()
        if not place or RELAYED in request.headers:
            raise NoLeaderError("no replica of the operator leads at this moment")
        headers = {
            name: request.headers[name]
            for name in ("Authorization", "Content-Type")
            if name in request.headers
        }
        try:
            async with self._session.post(
                f"{place}/v1/progress/{quote(key.namespace, '')}/{quote(key.name, '')}",
                data=body,
                headers=headers | {RELAYED: "1"},
            ) as response:
                text = await response.text()
                return web.Response(
                    status=response.status, text=text, content_type=response.content_type
                )
        except (aiohttp.ClientError, TimeoutError) as error:
            _log.info("progress of %s was not passed on: %s", key, error or "no answer in time")
            raise NoLeaderError("the replica that leads does not answer") from error


@asynccontextmanager
async def relaying(leadership: Leadership) -> AsyncIterator[Relay]:
    """A relay with connections of its own."""
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(keepalive_timeout=KEPT_SECONDS),
        timeout=aiohttp.ClientTimeout(total=RELAY_SECONDS),
    ) as session:
        yield Relay(leadership, session)
