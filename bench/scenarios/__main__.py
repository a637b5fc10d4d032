"""`make scenarios`: measure what is not measured yet, then write docs/scenarios.md.

Every run is kept as soon as it has ended, under a digest of the code, model, data and recipe that
it came from. So an interrupted `make scenarios` goes on where it was, and a finished one has
nothing to do.
"""

import argparse
import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from itertools import groupby
from pathlib import Path

from bench.measured_with import ROOT
from bench.scenarios.identity import provenance
from bench.scenarios.job import Inputs
from bench.scenarios.measure import Prepared, RunFailed, measure
from bench.scenarios.page import page
from bench.scenarios.result import Broken, Results
from bench.scenarios.table import SCENARIOS, Run, Scenario, all_runs

BUILD = ROOT / "build" / "scenarios"
RESULTS = ROOT / "docs" / "data" / "scenarios.json"
PAGE = ROOT / "docs" / "scenarios.md"
CORES = len(os.sched_getaffinity(0))


def main() -> int:
    """The number of runs that failed."""
    parser = argparse.ArgumentParser(prog="bench.scenarios", description=__doc__)
    parser.add_argument("--only", default="", help="runs whose name contains this")
    parser.add_argument(
        "--threads",
        type=int,
        default=1,
        help="of a training process; as many run at once as there are cores for (default: 1)",
    )
    parser.add_argument("--again", action="store_true", help="also what is measured already")
    parser.add_argument("--list", action="store_true", help="say what would be measured")
    parser.add_argument("--page", action="store_true", help="write the page from the results only")
    parser.add_argument("--json", type=Path, default=RESULTS, help="default: %(default)s")
    arguments = parser.parse_args()
    results = Results(arguments.json)
    failed = 0
    if not arguments.page:
        chosen = [_prepared(run) for run in all_runs() if arguments.only in run.name]
        due = [
            each
            for each in chosen
            if arguments.again or not results.has(each.run.name, each.digest)
        ]
        if arguments.list:
            print("\n".join(each.run.name for each in due), file=sys.stderr)
            return 0
        failed = asyncio.run(_measure(due, results, arguments.threads))
    PAGE.write_text(page(results.found, results.broken), encoding="utf-8")
    return failed


async def _measure(due: Sequence[Prepared], results: Results, threads: int) -> int:
    """The number of runs that failed."""
    loop, this = asyncio.get_running_loop(), asyncio.current_task()
    if this:
        loop.add_signal_handler(signal.SIGTERM, this.cancel)
    failed = 0
    for processes, group in groupby(
        sorted(due, key=lambda each: each.run.processes), key=lambda each: each.run.processes
    ):
        at_once = max(1, CORES // (processes * threads))
        free = asyncio.Semaphore(at_once)
        async with asyncio.TaskGroup() as tasks:
            running = [
                tasks.create_task(_keep(each, results, threads, at_once, free)) for each in group
            ]
        failed += sum(not each.result() for each in running)
    return failed


async def _keep(
    prepared: Prepared, results: Results, threads: int, at_once: int, free: asyncio.Semaphore
) -> bool:
    """Whether the run ended well."""
    name = prepared.run.name
    async with free:
        print(f"{name} …", file=sys.stderr, flush=True)
        try:
            result = await measure(prepared, threads, at_once)
        except RunFailed as error:
            print(f"{name} failed: {error}; see {prepared.work}", file=sys.stderr, flush=True)
            # The file is committed: no path of this machine.
            said = str(error).replace(str(ROOT), ".").replace(str(Path.home()), "~")
            measured_with = provenance(threads, at_once)
            results.put(name, Broken(digest=prepared.digest, provenance=measured_with, error=said))
            return False
        results.put(name, result)
        # Models and checkpoints of a hundred runs: what is told of them is kept above.
        await asyncio.to_thread(shutil.rmtree, prepared.work, ignore_errors=True)
    said = ", ".join(f"{metric} {a:g} → {b:g}" for metric, (a, b) in result.metrics.items())
    print(f"{name}: {said or result.steps} in {result.seconds:.0f} s", file=sys.stderr, flush=True)
    return True


def _prepared(run: Run) -> Prepared:
    scenario = next(each for each in SCENARIOS if each.name == run.scenario)
    work = BUILD / "runs" / run.name.replace(", ", "/").replace(" ", "-")
    example = ROOT / "examples" / scenario.example
    kept = BUILD / "base-scores"
    return Prepared(scenario, run, example, inputs(scenario), work, base_scores=kept)


@cache
def inputs(scenario: Scenario) -> Inputs:
    """The scenario's model and data, made where they are not there yet."""
    command = [sys.executable, "-m", scenario.model]
    said = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    return Inputs(Path(said.splitlines()[-1]), data(scenario, BUILD / "data" / scenario.name))


def data(scenario: Scenario, folder: Path) -> Path:
    """Where the scenario's data lies: in the example, or in `folder`, built there."""
    example = ROOT / "examples" / scenario.example
    if not (example / "build.py").exists():
        return example / "data"
    command = [sys.executable, str(example / "build.py"), str(folder)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return folder


if __name__ == "__main__":
    sys.exit(main())
