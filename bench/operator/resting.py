"""A restart over many jobs: when it works again, what it writes, what it takes while it rests."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.simulation.api import Api
from tests.cluster.simulation.control_plane import ControlPlane

from bench.operator import jobs
from bench.operator.children import JOBS, watched
from bench.operator.process import Operator
from bench.operator.starting import quiet, started

REST_SECONDS = 20.0
_WRITES = ("POST", "PATCH", "PUT", "DELETE")
FIRST = "first-after"


@dataclass(frozen=True)
class Restart:
    """Of an operator over jobs that need nothing."""

    jobs: int
    working_seconds: float
    """From its start, the interpreter's included, to the first Job of a job that is made then."""
    quiet_seconds: float
    """Until it asks for nothing any more, at most a second too much."""
    reads: int
    writes: int
    resident_bytes: int
    busy: float
    """Share of a core that it takes at rest."""


async def restart(plane: ControlPlane, api: Api, logs: Path, count: int) -> Restart:
    """Of so many that are there already: once with a job that comes at that moment, once without
    anything that could be done."""
    config = plane.kubeconfig("operator")
    async with watched(api) as children:
        with Operator(config, logs / "working.log") as operator:
            await started(operator)
            await jobs.create(api, [FIRST])
            await children.until({FIRST}, 300)
            working = children.made[FIRST] - operator.started
    await api.ask("DELETE", f"{JOBS}/{FIRST}")
    with Operator(config, logs / "resting.log") as operator:
        await started(operator)
        await quiet(operator)
        silent = time.monotonic() - operator.started
        asked, computed = await operator.requests(), operator.cpu_seconds
        await asyncio.sleep(REST_SECONDS)
        busy = (operator.cpu_seconds - computed) / REST_SECONDS
        resident = operator.resident_bytes
    writes = sum(asked[method] for method in _WRITES)
    return Restart(count, working, silent, asked["GET"], writes, resident, busy)


def names(count: int) -> Sequence[str]:
    """Of the jobs that are there."""
    return jobs.names("rested", count)
