"""Starts everything, and ends everything when any part of it ends."""

import asyncio
import logging
from datetime import UTC, datetime

from prometheus_client import start_http_server

from finetune_operator.cluster.client import Client
from finetune_operator.cluster.connection import ConfiguredConnection
from finetune_operator.cluster.events import EventRecorder
from finetune_operator.domain.kinds import FINE_TUNE_JOB
from finetune_operator.runtime import logs, watching
from finetune_operator.runtime.controller import Key
from finetune_operator.runtime.controllers import controllers
from finetune_operator.runtime.endpoints import probes, progress_endpoint, serving
from finetune_operator.runtime.otlp import exporting
from finetune_operator.runtime.progress_book import ProgressBook
from finetune_operator.runtime.settings import Settings
from finetune_operator.runtime.tokens import TokenVerifier
from finetune_operator.runtime.tools import Tools
from finetune_operator.runtime.worker import RECONCILE_SECONDS, Runner

STUCK_SECONDS = 2 * RECONCILE_SECONDS
"""A reconciliation older than this did not even obey its own time-out."""

_log = logging.getLogger(__name__)


def main() -> None:
    """Runs the operator until SIGTERM."""
    settings = Settings.from_environment()
    logs.configure(settings.log_level)
    start_http_server(settings.metrics_port)
    with exporting():
        asyncio.run(run(settings))


async def run(settings: Settings) -> None:
    """The operator within a running loop.

    Raises:
        Exception: a part that should run for ever has ended; the process is to be started again.
    """
    async with Client(ConfiguredConnection()) as client:
        tools = Tools(client, EventRecorder(client), settings, lambda: datetime.now(UTC))
        runners: list[Runner] = []

        def wake(key: Key, seconds: float) -> None:
            for runner in runners:
                if runner.controller.kind == FINE_TUNE_JOB:
                    runner.queue.add_after(key, seconds)

        book = ProgressBook(wake)
        runners += [Runner(each, client) for each in controllers(tools, book)]
        ready = asyncio.Event()
        health = probes(lambda: _stuck(runners), lambda: "" if ready.is_set() else "not watching")
        reports = progress_endpoint(book, TokenVerifier(client))
        async with (
            serving(health, settings.probe_port) as probe_port,
            serving(reports, settings.progress_port) as progress_port,
        ):
            _log.info("probes on port %d, progress on port %d", probe_port, progress_port)
            await watching.api_is_served(client, list(watching.watched_kinds(runners)))
            await _run_until_told(runners, ready, settings)


async def _run_until_told(runners: list[Runner], ready: asyncio.Event, settings: Settings) -> None:
    """kopf ends on SIGTERM. Workers are cut off wherever they are: any call may be the last."""
    until_told = asyncio.create_task(watching.watch(runners, ready))
    endless = [
        asyncio.create_task(part)
        for runner in runners
        for part in (
            runner.resync(settings.resync_seconds),
            *(runner.work() for _ in range(runner.controller.workers)),
        )
    ]
    try:
        done, _ = await asyncio.wait([until_told, *endless], return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in (until_told, *endless):
            task.cancel()
        await asyncio.gather(until_told, *endless, return_exceptions=True)


def _stuck(runners: list[Runner]) -> str:
    """Which worker has been at one object for too long, if any."""
    for runner in runners:
        age = runner.queue.longest_running_seconds()
        if age > STUCK_SECONDS:
            return f"a worker of {runner.name} has been busy for {age:.0f} s"
    return ""
