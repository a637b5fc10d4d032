"""Small HTTP servers: probes for the kubelet, and where trainers post their progress."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from pydantic import ValidationError

from finetune_operator.runtime.controller import Key
from finetune_operator.runtime.metrics import PROGRESS_POSTS
from finetune_operator.runtime.progress_book import ProgressBook
from finetune_operator.runtime.relay import NoLeaderError, Relay
from finetune_operator.runtime.tokens import TokenError, TokenVerifier
from finetune_trainer.manifest import Progress

BODY_LIMIT = 4096
"""Bytes; a post has about 300."""
REQUEST_SECONDS = 5.0

_log = logging.getLogger(__name__)


@asynccontextmanager
async def serving(application: web.Application, port: int) -> AsyncIterator[int]:
    """Serves on all interfaces; gives the port, which the system chooses for 0."""
    runner = web.AppRunner(application, access_log=None, keepalive_timeout=15)
    await runner.setup()
    try:
        site = web.TCPSite(runner, port=port)
        await site.start()
        address: tuple[str, int] = runner.addresses[0]
        yield address[1]
    finally:
        await runner.cleanup()


def probes(alive: Callable[[], str], ready: Callable[[], str]) -> web.Application:
    """/healthz and /readyz; each function returns what is wrong, or nothing.

    They are answered by the loop that does the work: when it is stuck, so are they.
    """

    def answer(ask: Callable[[], str]) -> Callable[[web.Request], object]:
        async def handle(_: web.Request) -> web.Response:
            problem = ask()
            return web.Response(status=503 if problem else 200, text=problem or "ok")

        return handle

    application = web.Application()
    application.router.add_get("/healthz", answer(alive))  # type: ignore[arg-type]
    application.router.add_get("/readyz", answer(ready))  # type: ignore[arg-type]
    return application


def progress_endpoint(book: ProgressBook, verifier: TokenVerifier, relay: Relay) -> web.Application:
    """POST /v1/progress/<namespace>/<job>, with the pod's own token."""

    async def post(request: web.Request) -> web.Response:
        key = Key(request.match_info["namespace"], request.match_info["name"])
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                body = await request.read()
                if relay.is_needed():
                    return await relay.pass_on(key, request, body)
                progress = Progress.model_validate_json(body)
                scheme, _, token = request.headers.get("Authorization", "").partition(" ")
                if scheme.lower() != "bearer":
                    raise TokenError("a bearer token is needed")
                await verifier.verify(token, key, progress.attempt)
        except TimeoutError:
            return _answer(408, "Timeout", "the request took too long")
        except ValidationError as error:
            return _answer(422, "Invalid", f"not a progress report: {error.error_count()} errors")
        except TokenError as error:
            _log.info("progress of %s refused: %s", key, error)
            return _answer(401, "Unauthorized", str(error))
        except NoLeaderError as error:
            return _answer(503, "NoLeader", str(error))
        return _taken(book.post(key, progress))

    application = web.Application(client_max_size=BODY_LIMIT)
    application.router.add_post("/v1/progress/{namespace}/{name}", post)
    return application


def _taken(is_news: bool) -> web.Response:
    """A report that was sent again by somebody else, later, must not be taken for the newest."""
    return _answer(204, "", "") if is_news else _answer(409, "Outdated", "a newer report is known")


def _answer(status: int, reason: str, message: str) -> web.Response:
    PROGRESS_POSTS.labels(str(status)).inc()
    if status == 204:
        return web.Response(status=status)
    text = json.dumps({"error": {"reason": reason, "message": message}})
    return web.Response(status=status, text=text, content_type="application/json")
