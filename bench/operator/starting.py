"""From applying a job to its first Job: one at a time at rest, and very many at once."""

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.simulation.api import Api
from tests.cluster.simulation.control_plane import ControlPlane

from bench.operator import jobs, record
from bench.operator.children import watched
from bench.operator.process import START_SECONDS, Operator

AT_REST_SECONDS = 0.2
"""Between two jobs, so that nothing is left to do of the one before."""
RECORDED = "recorded-00000"
QUIET_SECONDS = 1.0
BUSY_SECONDS = 0.1
"""Of computing within that, which answering for its metrics takes."""


@dataclass(frozen=True)
class Burst:
    """Very many jobs at once."""

    jobs: int
    seconds: float
    """From the first request that makes a job to the last child."""
    cpu_seconds: float
    """Of the operator, up to then."""
    resident_bytes: int


async def started(operator: Operator) -> None:
    """Returns when it watches."""
    async with asyncio.timeout(START_SECONDS):
        while not await operator.ready():  # noqa: ASYNC110  # as the kubelet asks
            await asyncio.sleep(0.05)


async def quiet(operator: Operator) -> None:
    """Returns when it has asked for nothing, and computed next to nothing, for a moment."""
    while True:
        before, computed = await operator.requests(), operator.cpu_seconds
        await asyncio.sleep(QUIET_SECONDS)
        if await operator.requests() == before and operator.cpu_seconds - computed <= BUSY_SECONDS:
            return


async def requests_of_a_job(plane: ControlPlane, api: Api, log: Path) -> list[record.Request]:
    """Everything that is asked for until a job's first Job runs."""
    begun = len(record.read(plane.audit_log)) if plane.audit_log.exists() else 0
    with Operator(plane.kubeconfig("recorded"), log) as operator:
        await started(operator)
        await quiet(operator)
        async with watched(api) as children:
            await jobs.create(api, [RECORDED])
            await children.until({RECORDED}, 60)
            await quiet(operator)
    return record.of_job(record.read(plane.audit_log)[begun:], RECORDED)


async def latencies(api: Api, count: int) -> list[float]:
    """Seconds from sending a job to seeing its child, one after the other."""
    found = []
    async with watched(api) as children:
        for name in jobs.names("rest", count):
            began = time.monotonic()
            await jobs.create(api, [name])
            await children.until({name}, 60)
            found.append(children.made[name] - began)
            await asyncio.sleep(AT_REST_SECONDS)
    return found


async def burst(api: Api, operator: Operator, count: int) -> Burst:
    """All of them, as fast as the API server takes them."""
    wanted = jobs.names("burst", count)
    async with watched(api) as children:
        computed = operator.cpu_seconds
        began = time.monotonic()
        await jobs.create(api, wanted)
        await children.until(set(wanted), 600)
        seconds = max(children.made[each] for each in wanted) - began
        computed = operator.cpu_seconds - computed
    return Burst(count, seconds, computed, operator.resident_bytes)
