"""Train the same steps by every strategy: the loss beside DataParallel's, and the memory of a
process beside the estimate. `--json FILE` writes the same.

Fails where a loss is farther from DataParallel's than `--bound`.
"""

import argparse
import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.strategies.run import Run, go
from bench.trainer.conversations import write_conversations
from finetune_trainer import allocator
from finetune_trainer.memory.estimate import estimate
from finetune_trainer.memory.families import architecture_from_config
from finetune_trainer.memory.layout import Layout, Machine
from finetune_trainer.recipe import Recipe, Strategy

_MIB = 1 << 20
PROCESSES = 2
METHODS: dict[str, dict[str, Any]] = {
    "LoRA": {"type": "LoRA", "lora": {"rank": 16, "alpha": 32, "dropout": 0.0}},
    "DoRA": {"type": "DoRA", "dora": {"rank": 16, "alpha": 32, "dropout": 0.0}},
    "Full": {"type": "Full"},
}


def main() -> int:
    """The number of strategies that are too far from DataParallel."""
    parser = argparse.ArgumentParser(prog="bench.strategies")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--method", choices=METHODS, default="Full")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--max-length", type=int, default=256, help="tokens of a sequence")
    parser.add_argument("--bound", type=float, default=1e-4, help="of the difference of a loss")
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    results: list[dict[str, Any]] = []
    print(f"{'strategy':<14}{'peak':>8}{'estimate':>10}{'loss':>9}  farthest")
    for strategy in Strategy:
        with TemporaryDirectory() as folder:
            made = recipe(arguments, strategy)
            data = Path(folder) / "inputs" / "train-0"
            data.mkdir(parents=True)
            write_conversations(data / "train.jsonl", 400)
            ended = go(made, arguments.model, Path(folder))
        result = compared(ended, results[0]["losses"] if results else ended.losses)
        predicted = predict(made, arguments.model)
        results.append(result | {"strategy": strategy.value, "estimate": predicted})
        print(
            f"{strategy:<14}{ended.peak / _MIB:>8.0f}{predicted['total'] / _MIB:>10.0f}"
            f"{ended.losses[-1]:>9.4f}  {result['farthest']:.1e}",
            flush=True,
        )
    if arguments.json:
        report = {"method": arguments.method, "processes": PROCESSES, "strategies": results}
        arguments.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return sum(each["farthest"] > arguments.bound for each in results)


def recipe(arguments: argparse.Namespace, strategy: Strategy) -> Recipe:
    """Two sequences for each process and step, one at a time."""
    return Recipe.model_validate(
        {
            "job": {"namespace": "bench", "name": "strategies", "generation": 1},
            "model": {"storageUri": f"file://{arguments.model.resolve()}"},
            "task": "Chat",
            "dataset": {"train": [{"storageUri": "pvc://data"}], "format": "OpenAIChat"},
            "method": METHODS[arguments.method],
            "training": {
                "epochs": 1,
                "maxSteps": arguments.steps,
                "learningRate": 1e-5 if arguments.method == "Full" else 2e-4,
                "schedule": "Cosine",
                "warmupSteps": 0,
                "maxLength": arguments.max_length,
                "packing": True,
                "tokensPerBatch": 2 * PROCESSES * arguments.max_length,
                "precision": "FP32",
                "seed": 42,
            },
            "compute": {"device": "CPU", "nodes": PROCESSES, "gpusPerNode": 0},
            "distribution": {"strategy": strategy},
            "checkpoint": {"intervalSteps": 10**6, "intervalSeconds": 10**6, "keep": 1},
        }
    )


def compared(ended: Run, reference: list[float]) -> dict[str, Any]:
    """What was measured, and the largest difference of a step's loss."""
    apart = [abs(mine - theirs) for mine, theirs in zip(ended.losses, reference, strict=True)]
    return {"losses": ended.losses, "farthest": max(apart), "peak": ended.peak}


def predict(made: Recipe, model: Path) -> dict[str, int]:
    """Bytes by part, and in all."""
    architecture = architecture_from_config(json.loads((model / "config.json").read_bytes()))
    layout = Layout(strategy=made.strategy)
    machine = Machine(gpu=False, bf16=False, jemalloc=allocator.installed() is not None)
    needed = estimate(made, architecture, machine, layout)
    return needed.parts() | {"total": needed.total}


if __name__ == "__main__":
    sys.exit(main())
