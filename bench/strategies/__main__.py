"""Train the same steps by every strategy: the loss beside DataParallel's, and the memory of a
process beside the estimate. `--json FILE` writes the same, and `--page FILE` a page for people.

Fails where a loss is farther from DataParallel's than `--bound`, or an estimate does not hold.
"""

import argparse
import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.memory.claim import holds
from bench.strategies.job import METHODS, PROCESSES, predict, recipe
from bench.strategies.page import page
from bench.strategies.run import Run, go
from bench.trainer.conversations import write_conversations
from bench.trainer.versions import versions
from finetune_trainer import allocator
from finetune_trainer.recipe import Strategy

_MIB = 1 << 20


def main() -> int:
    """The number of trainings of which something is not as it is claimed."""
    parser = argparse.ArgumentParser(prog="bench.strategies")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--method", choices=METHODS, nargs="*", default=["Full", "LoRA"])
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--max-length", type=int, default=256, help="tokens of a sequence")
    parser.add_argument("--bound", type=float, default=1e-4, help="of the difference of a loss")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--page", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    if not allocator.installed():
        parser.error(
            "what is estimated here is a training with jemalloc: make packages installs it"
        )
    config = json.loads((arguments.model / "config.json").read_bytes())
    runs: list[dict[str, Any]] = []
    print(f"{'':<20}{'peak':>8}{'estimate':>10}{'loss':>9}  farthest")
    for method in arguments.method:
        reference: list[float] = []
        for strategy in Strategy:
            made = _measured(method, strategy, arguments)
            reference = reference or made.losses
            run = {
                "method": method,
                "strategy": strategy.value,
                "peak": made.peak,
                "predicted": predict(method, strategy, arguments.max_length, config),
                "losses": made.losses,
                "farthest": farthest(made.losses, reference),
            }
            runs.append(run)
            print(_line(run), flush=True)
    report = {
        "versions": versions(),
        "processes": PROCESSES,
        "steps": arguments.steps,
        "maxLength": arguments.max_length,
        "config": config,
        "runs": runs,
    }
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    if arguments.page:
        arguments.page.write_text(page(report), encoding="utf-8")
    return sum(
        each["farthest"] > arguments.bound or not holds(each["predicted"]["total"], each["peak"])
        for each in runs
    )


def _measured(method: str, strategy: Strategy, arguments: argparse.Namespace) -> Run:
    made = recipe(method, strategy, arguments.max_length, arguments.steps)
    with TemporaryDirectory() as folder:
        data = Path(folder) / "inputs" / "train-0"
        data.mkdir(parents=True)
        write_conversations(data / "train.jsonl", 400)
        return go(made, arguments.model, Path(folder))


def farthest(losses: list[float], reference: list[float]) -> float:
    """The largest difference of a step's loss."""
    return max(abs(mine - theirs) for mine, theirs in zip(losses, reference, strict=True))


def _line(run: dict[str, Any]) -> str:
    predicted = run["predicted"]["total"]
    mark = "" if holds(predicted, run["peak"]) else "  FAILS"
    return (
        f"{run['method'] + ' ' + run['strategy']:<20}{run['peak'] / _MIB:>8.0f}"
        f"{predicted / _MIB:>10.0f}{run['losses'][-1]:>9.4f}  {run['farthest']:.1e}{mark}"
    )


if __name__ == "__main__":
    sys.exit(main())
