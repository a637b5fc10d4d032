"""Starts everything, and ends everything when any part of it ends.

Of several replicas one works; the others stand by: they serve probes and metrics, pass progress on
to the one that works, look at the Lease, and watch nothing.
"""

import asyncio
import gc
import logging
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from ipaddress import IPv6Address

from prometheus_client import REGISTRY, start_http_server

from finetune_operator.api.fine_tune_class import FineTuneClass
from finetune_operator.cluster.client import Client
from finetune_operator.cluster.clock import ServerClock
from finetune_operator.cluster.connection import ConfiguredConnection
from finetune_operator.cluster.events import EventRecorder
from finetune_operator.cluster.lease import (
    ROUND_SECONDS,
    Election,
    Leadership,
    LeadershipLostError,
    Unopposed,
)
from finetune_operator.domain.kinds import FINE_TUNE_JOB
from finetune_operator.domain.quantity import quantity_bytes
from finetune_operator.nodes import Provisioners
from finetune_operator.nodes.aks.client import AgentPools
from finetune_operator.nodes.prices import PriceBook
from finetune_operator.runtime import logs, sweeping, watching
from finetune_operator.runtime.cluster_view import ClusterView, NamespacesOnly, WholeCluster
from finetune_operator.runtime.controller import Key
from finetune_operator.runtime.controllers import controllers
from finetune_operator.runtime.endpoints import probes, progress_endpoint, serving
from finetune_operator.runtime.given_classes import ClassesError, read_classes
from finetune_operator.runtime.job_board import JobBoard
from finetune_operator.runtime.leading import lead
from finetune_operator.runtime.otlp import exporting
from finetune_operator.runtime.progress_book import ProgressBook
from finetune_operator.runtime.relay import relaying
from finetune_operator.runtime.settings import Settings
from finetune_operator.runtime.signals import end_on_signals
from finetune_operator.runtime.tokens import TokenVerifier
from finetune_operator.runtime.tools import Tools
from finetune_operator.runtime.worker import RECONCILE_SECONDS, Runner

STUCK_SECONDS = 2 * RECONCILE_SECONDS
"""A reconciliation older than this did not even obey its own time-out."""

_log = logging.getLogger(__name__)


def main() -> None:
    """Runs the operator until SIGTERM; exits with 1 when it may not go on."""
    # What was imported stays. To look through it for garbage takes 50 ms, in which nobody is
    # answered, and comes every two seconds when a thousand jobs report.
    gc.freeze()
    settings = Settings.from_environment()
    logs.configure(settings.log_level)
    start_http_server(settings.metrics_port)
    try:
        with exporting():
            asyncio.run(run(settings))
    except asyncio.CancelledError:
        _log.info("ended, as it was told to")
    except (LeadershipLostError, ClassesError) as error:
        _log.error("%s", error)
        sys.exit(1)


async def run(settings: Settings) -> None:
    """The operator within a running loop, until the task is cancelled, as SIGTERM does.

    Raises:
        Exception: a part that should run for ever has ended; the process is to be started again.
    """
    task = asyncio.current_task()
    assert task is not None
    take_signals = partial(end_on_signals, task)
    take_signals()
    connection = ConfiguredConnection()
    classes = read_classes(settings.classes_file) if settings.classes_file else None
    clock = ServerClock()
    agent_pools, board = AgentPools(now=clock.now), JobBoard(clock.now)
    REGISTRY.register(board)
    async with (
        _leadership(settings, connection, clock) as leadership,
        Client(
            connection,
            may_write=leadership.leads,
            namespaces=settings.namespaces,
            clock=clock,
        ) as client,
        relaying(leadership) as relay,
    ):
        prices = PriceBook(settings.retail_prices_url, clock.now)
        tools = Tools(
            client,
            EventRecorder(client),
            settings,
            clock.now,
            prices,
            _view(client, classes, settings),
            Provisioners(agent_pools),
            board,
        )
        runners: list[Runner] = []

        def wake(key: Key, seconds: float) -> None:
            for runner in runners:
                if runner.controller.kind == FINE_TUNE_JOB:
                    runner.queue.add_after(key, seconds)

        book = ProgressBook(wake)
        runners += [Runner(each, client) for each in controllers(tools, book)]
        ready = asyncio.Event()
        health = probes(lambda: _stuck(runners), lambda: _unready(leadership, ready))
        verifier = TokenVerifier(client, clock.now, settings.namespaces)
        reports = progress_endpoint(book, verifier, relay)
        async with (
            serving(health, settings.probe_port) as probe_port,
            serving(reports, settings.progress_port) as progress_port,
        ):
            _log.info("probes on port %d, progress on port %d", probe_port, progress_port)
            await leadership.acquire(_progress_url(settings, progress_port))
            watches = watching.watch(client, runners, ready, take_signals, settings.namespaces)
            beside = [prices.keep_up(), tools.recorder.keep_up()]
            if classes is None:
                beside.append(sweeping.sweep(tools))
            try:
                await lead(leadership, watches, runners, settings.resync_seconds, beside)
            finally:
                await agent_pools.close()


def _view(
    client: Client, classes: Mapping[str, FineTuneClass] | None, settings: Settings
) -> ClusterView:
    """Of the cluster as it is read, or as it was given where it may not be."""
    if classes is None:
        return WholeCluster(client)
    gpu_memory = quantity_bytes(settings.gpu_memory) if settings.gpu_memory else None
    return NamespacesOnly(classes, gpu_memory)


@asynccontextmanager
async def _leadership(
    settings: Settings, connection: ConfiguredConnection, clock: ServerClock
) -> AsyncIterator[Leadership]:
    if not settings.lease:
        yield Unopposed()
        return
    namespace, name = settings.lease.split("/")
    async with Client(connection, call_seconds=0.8 * ROUND_SECONDS, clock=clock) as client:
        yield Election(client, namespace, name, settings.pod_name, now=clock.now)


def _progress_url(settings: Settings, port: int) -> str:
    """Where other replicas reach this one."""
    address = settings.pod_ip
    host = f"[{address}]" if isinstance(address, IPv6Address) else str(address)
    return f"http://{host}:{port}"


def _unready(leadership: Leadership, ready: asyncio.Event) -> str:
    """A standby is ready as it is: a rolling upgrade waits for that."""
    if leadership.leads():
        return "" if ready.is_set() else "not watching"
    return leadership.problem()


def _stuck(runners: list[Runner]) -> str:
    """Which worker has been at one object for too long, if any."""
    for runner in runners:
        age = runner.queue.longest_running_seconds()
        if age > STUCK_SECONDS:
            return f"a worker of {runner.name} has been busy for {age:.0f} s"
    return ""
