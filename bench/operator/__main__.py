"""`make bench-operator`: how fast the operator is, what it asks for, and what it takes.

On an API server and etcd alone. `--json FILE` writes all figures, and `--page FILE` a page.
"""

import argparse
import asyncio
import json
import statistics
import sys
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.operator import bare, jobs, record, starting
from bench.operator.control_plane import control_plane
from bench.operator.process import Operator


def main() -> int:
    """0"""
    parser = argparse.ArgumentParser(prog="bench.operator", description=__doc__)
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--latencies", type=int, default=100)
    arguments = parser.parse_args()
    with TemporaryDirectory(prefix="bench-operator-") as folder:
        report = asyncio.run(_measure(arguments, Path(folder)))
    print(json.dumps(report, indent=1))
    return 0


async def _measure(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    async with control_plane(folder) as (plane, api):
        await jobs.prepare(api)
        recorded = await starting.requests_of_a_job(plane, api, Path("/tmp/scale/recorded.log"))
        for each in recorded:
            print(each.verb, each.resource, each.uri, each.code, file=sys.stderr)
        with Operator(plane.kubeconfig("operator"), Path("/tmp/scale/operator.log")) as operator:
            await starting.started(operator)
            await starting.quiet(operator)
            took = await starting.latencies(api, arguments.latencies)
            before = await operator.requests()
            burst = await starting.burst(api, operator, arguments.jobs, recorded)
            asked = await operator.requests() - before
        names = jobs.names("bare", arguments.jobs)
        seconds = await bare.replay(api, recorded, starting.RECORDED, names)
    return {
        "requests": {f"{v} {r}": n for (v, r), n in record.counted(recorded).items()},
        "median": statistics.median(took),
        "p99": statistics.quantiles(took, n=100)[98],
        "burst": asdict(burst),
        "asked": asked,
        "bare": seconds,
    }


if __name__ == "__main__":
    sys.exit(main())
