"""`make bench-operator`: how fast the operator is, what it asks for, and what it takes.

On an API server and etcd alone. `--json FILE` writes all figures, and `--page FILE` a page.
"""

import argparse
import asyncio
import gc
import json
import statistics
import sys
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.cluster.simulation.api import Api
from tests.cluster.simulation.control_plane import ControlPlane, control_plane

from bench.operator import bare, jobs, population, record, reporting, resting, starting
from bench.operator.machine import versions
from bench.operator.page import page
from bench.operator.process import Operator
from bench.operator.table import missed, tables

PARTS = ("start", "rest", "report")


def main() -> int:
    """The number of bounds that are missed."""
    # A pause of its own would be measured as the operator's.
    gc.disable()
    parser = argparse.ArgumentParser(prog="bench.operator", description=__doc__)
    parser.add_argument("--only", nargs="*", choices=PARTS, default=list(PARTS))
    parser.add_argument("--jobs", type=int, default=1000, help="at once, and that report")
    parser.add_argument("--alone", type=int, default=100, help="jobs, one after the other")
    parser.add_argument("--rested", type=int, default=10_000, help="jobs that are there already")
    parser.add_argument("--seconds", type=float, default=300, help="how long jobs report")
    parser.add_argument("--logs", type=Path, help="folder for the operator's logs")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--page", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    report: dict[str, Any] = {}
    if arguments.json and arguments.json.exists():
        report = json.loads(arguments.json.read_bytes())  # of the parts that are left out now
    report["versions"] = versions()
    with TemporaryDirectory(prefix="bench-operator-") as folder:
        logs = arguments.logs or Path(folder)
        for part in arguments.only:
            # An API server of its own for each: what another has left is not to be measured.
            (Path(folder) / part).mkdir()
            report |= _measure(part, arguments, Path(folder) / part, logs)
            if arguments.json:
                text = json.dumps(report, indent=1, sort_keys=True) + "\n"
                arguments.json.write_text(text, encoding="utf-8")
    print("\n".join(tables(report)))
    if arguments.page:
        arguments.page.write_text(page(report), encoding="utf-8")
    return missed(report)


def _measure(part: str, arguments: argparse.Namespace, folder: Path, logs: Path) -> dict[str, Any]:
    measure = {"start": _start, "rest": _rest, "report": _report}[part]

    async def measured() -> dict[str, Any]:
        async with plane.api() as api:
            await jobs.prepare(api)
            return await measure(arguments, plane, api, logs)

    print(f"{part} …", file=sys.stderr, flush=True)
    with control_plane(folder, controllers=False) as plane:
        return asyncio.run(measured())


async def _start(
    arguments: argparse.Namespace, plane: ControlPlane, api: Api, logs: Path
) -> dict[str, Any]:
    recorded = await starting.requests_of_a_job(plane, api, logs / "recorded.log")
    with Operator(plane.kubeconfig("operator"), logs / "start.log") as operator:
        await starting.started(operator)
        await starting.quiet(operator)
        alone = await starting.latencies(api, arguments.alone)
        burst = await starting.burst(api, operator, arguments.jobs)
    names = jobs.names("bare", arguments.jobs)
    seconds = await bare.replay(api, recorded, starting.RECORDED, names)
    counted = record.counted(recorded)
    return {
        "requests": [[*what, count] for what, count in counted.items()],
        "alone": {
            "jobs": arguments.alone,
            "median": statistics.median(alone),
            "p99": statistics.quantiles(alone, n=100)[98],
        },
        "burst": {**asdict(burst), "bare_seconds": seconds},
    }


async def _rest(
    arguments: argparse.Namespace, plane: ControlPlane, api: Api, logs: Path
) -> dict[str, Any]:
    await population.populate(api, population.finished(), resting.names(arguments.rested))
    made = await resting.restart(plane, api, logs, arguments.rested)
    return {"restart": asdict(made)}


async def _report(
    arguments: argparse.Namespace, plane: ControlPlane, api: Api, logs: Path
) -> dict[str, Any]:
    names = jobs.names("running", arguments.jobs)
    pods = await population.populate(api, population.training(), names)
    with Operator(plane.kubeconfig("operator"), logs / "report.log") as operator:
        await starting.started(operator)
        await starting.quiet(operator)
        made = await reporting.reporting(plane, api, operator, pods, arguments.seconds)
    return {"reports": asdict(made)}


if __name__ == "__main__":
    sys.exit(main())
