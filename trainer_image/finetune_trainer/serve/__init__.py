"""`serve`: OpenAI-compatible answers for one InferenceWorkspace."""

import argparse
import asyncio
import logging
import random
import signal
from pathlib import Path

from aiohttp import web

from finetune_trainer.libraries import hide, is_quantized
from finetune_trainer.serve.app import Server
from finetune_trainer.serve.backend import Backend
from finetune_trainer.serve.config import ServeConfig, read_config
from finetune_trainer.serve.metrics import Metrics
from finetune_trainer.serve.traffic import Traffic
from finetune_trainer.serve.upstream import UpstreamBackend

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, required=True, help="serve.json")


def run(arguments: argparse.Namespace) -> None:
    config = read_config(arguments.config)
    models = [config.base_model.path, *(each.path for each in config.revisions if each.path)]
    if not any(is_quantized(model) for model in models):
        hide(["bitsandbytes"])
    asyncio.run(serve(config))


async def serve(config: ServeConfig) -> None:
    """Answer until SIGTERM, then let the answers being written end.

    Raises:
        ConfigurationError: a model or adapter cannot be loaded.
    """
    metrics = Metrics()
    backend = _backend(config, metrics)
    # Which revision a request meets is no secret: any generator will do.
    server = Server(config, Traffic(config, random.Random()), backend, metrics)  # noqa: S311
    # A client that goes away cancels its handler, and by that the model's work for it.
    runner = web.AppRunner(
        server.app(), handler_cancellation=True, shutdown_timeout=config.drain_seconds
    )
    await runner.setup()
    await web.TCPSite(runner, config.host, config.port).start()
    log.info("listening on port %d", config.port)
    try:
        await _until_stopped(asyncio.create_task(server.become_ready()))
        server.drain()
        await asyncio.sleep(config.linger_seconds)
    finally:
        await runner.cleanup()
        await backend.close()


async def _until_stopped(becoming_ready: "asyncio.Task[None]") -> None:
    """Return at SIGTERM; raise when the models cannot be had."""
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    stopping = asyncio.create_task(stopped.wait())
    await asyncio.wait({becoming_ready, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if becoming_ready.done():
        becoming_ready.result()
        await stopping
    becoming_ready.cancel()


def _backend(config: ServeConfig, metrics: Metrics) -> Backend:
    if config.upstream is not None:
        return UpstreamBackend(config, config.upstream)
    from finetune_trainer.serve.local import LocalBackend  # noqa: PLC0415 # a router needs no torch

    return LocalBackend(config, metrics)
