"""`make scenarios`: measure what is not measured yet, then write docs/scenarios.md.

Every run is kept as soon as it has ended, under a digest of the code, model, data and recipe that
it came from. So an interrupted `make scenarios` goes on where it was, and a finished one has
nothing to do.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
from functools import cache
from pathlib import Path

from bench.scenarios.identity import ROOT, provenance
from bench.scenarios.job import Inputs
from bench.scenarios.measure import Prepared, RunFailed, measure
from bench.scenarios.page import page
from bench.scenarios.result import Broken, Results
from bench.scenarios.table import SCENARIOS, Scenario, all_runs

BUILD = ROOT / "build" / "scenarios"
RESULTS = ROOT / "docs" / "data" / "scenarios.json"
PAGE = ROOT / "docs" / "scenarios.md"


def main() -> int:
    """The number of runs that failed."""
    parser = argparse.ArgumentParser(prog="bench.scenarios", description=__doc__)
    parser.add_argument("--only", default="", help="runs whose name contains this")
    cores = len(os.sched_getaffinity(0))
    parser.add_argument(
        "--threads", type=int, default=cores, help="default: %(default)s, all cores"
    )
    parser.add_argument("--again", action="store_true", help="also what is measured already")
    parser.add_argument("--list", action="store_true", help="say what would be measured")
    parser.add_argument("--page", action="store_true", help="write the page from the results only")
    parser.add_argument("--json", type=Path, default=RESULTS, help="default: %(default)s")
    arguments = parser.parse_args()
    # Whatever ends this ends the training that it waits for.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    results = Results(arguments.json)
    failed = 0
    by_name = {each.name: each for each in SCENARIOS}
    runs = [] if arguments.page else [run for run in all_runs() if arguments.only in run.name]
    for run in runs:
        scenario = by_name[run.scenario]
        work = BUILD / "runs" / run.name.replace(", ", "/").replace(" ", "-")
        example = ROOT / "examples" / scenario.example
        prepared = Prepared(scenario, run, example, inputs(scenario), work)
        known = results.found.get(run.name)
        if known and known.digest == prepared.digest and not arguments.again:
            continue
        print(f"{run.name} …", file=sys.stderr, flush=True)
        if arguments.list:
            continue
        try:
            result = measure(prepared, arguments.threads)
        except RunFailed as error:
            print(f"  failed: {error}; see {work}", file=sys.stderr)
            # The file is committed: no path of this machine.
            said = str(error).replace(str(ROOT), ".").replace(str(Path.home()), "~")
            measured_with = provenance(arguments.threads)
            results.put(
                run.name, Broken(digest=prepared.digest, provenance=measured_with, error=said)
            )
            failed += 1
            continue
        results.put(run.name, result)
        # Models and checkpoints of some seventy runs: what is told of them is kept above.
        shutil.rmtree(work, ignore_errors=True)
        said = ", ".join(f"{name} {a:g} → {b:g}" for name, (a, b) in result.metrics.items())
        print(f"  {said or result.steps} in {result.seconds:.0f} s", file=sys.stderr, flush=True)
    if not arguments.list:
        PAGE.write_text(page(results.found, results.broken), encoding="utf-8")
    return failed


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
