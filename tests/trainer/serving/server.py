"""The server under test, on a free port, in a thread of its own."""

import asyncio
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from aiohttp import web
from openai import OpenAI

from finetune_trainer.serve.app import Server
from finetune_trainer.serve.backend import Backend
from finetune_trainer.serve.config import ServeConfig
from finetune_trainer.serve.local import LocalBackend
from finetune_trainer.serve.metrics import Metrics
from finetune_trainer.serve.traffic import Traffic
from finetune_trainer.serve.upstream import UpstreamBackend

START_SECONDS = 120


@dataclass(frozen=True)
class Running:
    """Where it answers, and OpenAI's own client, which is told to give up at the first refusal."""

    url: str
    client: OpenAI

    def get(self, path: str) -> str:
        """The body, whatever the status."""
        return httpx2.get(f"{self.url}{path}", timeout=30).text


@contextmanager
def run(config: ServeConfig, *, seed: int = 0, ready: bool = True) -> Iterator[Running]:
    """Serve until the block ends; with `ready` False, before the models are asked for."""
    metrics = Metrics()
    backend: Backend = (
        LocalBackend(config, metrics)
        if config.upstream is None
        else UpstreamBackend(config, config.upstream)
    )
    server = Server(config, Traffic(config, random.Random(seed)), backend, metrics)
    app = server.app()
    app.router.add_get("/health", _healthy)  # as vLLM has it, for the tests that route to this
    with (
        _threaded(app, server.become_ready if ready else None, backend.close) as url,
        OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client,
    ):
        yield Running(url, client)


async def _healthy(_: web.Request) -> web.Response:
    return web.Response()


@contextmanager
def _threaded(
    app: web.Application, start: Callable[[], Any] | None, close: Callable[[], Any]
) -> Iterator[str]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def wait(work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(START_SECONDS)

    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=5)
    wait(runner.setup())
    site = web.TCPSite(runner, "127.0.0.1", 0)
    wait(site.start())
    try:
        if start is not None:
            wait(start())
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        wait(runner.cleanup())
        wait(close())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def config(base: Path, **more: object) -> ServeConfig:
    """The workspace `support` over a base, in fp32."""
    return ServeConfig.model_validate(
        {"name": "support", "baseModel": {"name": "base", "path": base}, "precision": "FP32"} | more
    )
