"""`make bench-trainer`: each contestant in its own process, in turns; medians of the rounds."""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

from bench.trainer.contestants import CONTESTANTS
from bench.trainer.conversations import write_conversations
from bench.trainer.measure import Measured
from bench.trainer.versions import versions

BOUNDS = {"guide": 2.4, "grouped": 1.9, "loop": 0.97}
"""Times as many conversations per second as these; TRL's at the best of its settings: below."""
TRL_BOUND = 2.0
MEMORY_BOUND = 0.6
"""Of the guide's peak."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.trainer", description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="folder of the base model")
    parser.add_argument("--conversations", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", choices=("CPU", "GPU"), default="CPU")
    parser.add_argument("--precision", choices=("FP32", "BF16"), default="FP32")
    parser.add_argument("--max-length", type=int, default=2048)
    parser.add_argument("--row", type=int, default=2048)
    parser.add_argument("--only", nargs="*", choices=CONTESTANTS, default=list(CONTESTANTS))
    parser.add_argument("--json", type=Path, help="also write every run here")
    arguments = parser.parse_args()
    runs: dict[str, list[Measured]] = defaultdict(list)
    failed: dict[str, int] = {}
    with tempfile.TemporaryDirectory(prefix="bench-trainer-") as folder:
        data = Path(folder) / "conversations.jsonl"
        write_conversations(data, arguments.conversations)
        for number in range(arguments.rounds):
            # Another order each round: what the machine does meanwhile hits all alike.
            turn = number % len(arguments.only)
            for name in arguments.only[turn:] + arguments.only[:turn]:
                work = Path(folder) / f"{number}-{name}"
                work.mkdir()
                if name in failed:
                    continue
                try:
                    measured = _run(name, arguments, data, work)
                except subprocess.CalledProcessError as error:
                    failed[name] = error.returncode
                    print(f"{name} ended with {error.returncode}, and is left out", file=sys.stderr)
                    continue
                runs[name].append(measured)
                print(
                    f"round {number + 1}  {name:17} {measured.rate:.3f} conversations/s",
                    file=sys.stderr,
                )
    print(_table(runs))
    if arguments.json:
        content = {
            "versions": versions(),
            "failed": failed,
            "settings": {
                name: str(value) for name, value in vars(arguments).items() if name != "json"
            },
            "runs": {name: [run.model_dump() for run in each] for name, each in runs.items()},
        }
        arguments.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return 1 if failed else 0


def _run(name: str, arguments: argparse.Namespace, data: Path, work: Path) -> Measured:
    command = [sys.executable, "-m", "bench.trainer.contestants", name]
    command += ["--model", str(arguments.model), "--data", str(data), "--work", str(work)]
    command += [
        "--device",
        arguments.device,
        "--precision",
        arguments.precision,
        "--max-length",
        str(arguments.max_length),
    ]
    command += ["--row", str(arguments.row)]
    threads = str(len(os.sched_getaffinity(0)))
    environment = {**os.environ, "OMP_NUM_THREADS": threads, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return Measured.model_validate_json(done.stdout.splitlines()[-1])


def _table(runs: dict[str, list[Measured]]) -> str:
    rates = {name: statistics.median(run.rate for run in each) for name, each in runs.items()}
    peaks = {name: statistics.median(run.peak_bytes for run in each) for name, each in runs.items()}
    lines = [
        "| | conversations/s | ours is | peak memory | ours needs | padding | last loss |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, each in runs.items():
        ratio = f"{rates['ours'] / rates[name]:.2f} ×" if "ours" in rates else ""
        needs = f"{peaks['ours'] / peaks[name]:.2f} ×" if "ours" in peaks else ""
        lines.append(
            f"| {CONTESTANTS[name]} | {rates[name]:.3f} | {ratio} | {peaks[name] / 2**30:.2f} GiB "
            f"| {needs} | {each[0].padding:.0%} | {each[-1].last_loss:.3f} |"
        )
    return "\n".join([*lines, "", *_verdicts(rates, peaks)])


def _verdicts(rates: dict[str, float], peaks: dict[str, float]) -> list[str]:
    if "ours" not in rates:
        return []
    wanted = {name: bound for name, bound in BOUNDS.items() if name in rates}
    peers = [name for name in rates if name.startswith("trl_")]
    if peers:
        wanted[max(peers, key=lambda name: rates[name])] = TRL_BOUND
    lines = [
        _verdict(f"speed against {CONTESTANTS[name]}", rates["ours"] / rates[name], bound, "least")
        for name, bound in wanted.items()
    ]
    if "guide" in peaks:
        ratio = peaks["ours"] / peaks["guide"]
        lines.append(_verdict("memory against the guide", ratio, MEMORY_BOUND, "most"))
    return lines


def _verdict(what: str, value: float, bound: float, side: str) -> str:
    reached = value >= bound if side == "least" else value <= bound
    return f"{'reached' if reached else 'MISSED '}  {what}: {value:.2f} ×, at {side} {bound} ×"


if __name__ == "__main__":
    sys.exit(main())
