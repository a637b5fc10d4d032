"""Print predicted and measured memory of each configuration; `--json FILE` writes the same, and
`--page FILE` a page for people.

On a processor it is anonymous memory and the weights that lie in the model's mapped files, with the
allocator that a training process has; on a GPU all that is taken of the card, whatever for.
"""

import argparse
import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.memory.claim import holds
from bench.memory.configurations import SHAPES, Configuration, on_cpu, on_gpu
from bench.memory.page import page
from finetune_trainer import allocator
from finetune_trainer.memory.estimate import Estimate, Load, estimate
from finetune_trainer.memory.families import architecture_from_config
from finetune_trainer.memory.layout import Layout, Machine
from finetune_trainer.recipe import Device

_MIB = 1 << 20


def main() -> int:
    """The number of configurations outside of what is claimed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--page", type=Path, metavar="FILE")
    parser.add_argument("--device", choices=("CPU", "GPU"), default="CPU")
    parser.add_argument("--only", default="", help="configurations whose name contains this")
    arguments = parser.parse_args()
    configurations = on_gpu() if arguments.device == "GPU" else on_cpu()
    wanted = [each for each in configurations if arguments.only in each.name]
    if arguments.device == "CPU" and not allocator.installed():
        parser.error(
            "what is estimated here is a training with jemalloc: make packages installs it"
        )
    if not wanted:
        parser.error(f"no configuration's name contains {arguments.only!r}")
    print(f"{'configuration':<42}{'predicted':>10}{'measured':>10}{'error':>8}   parts, MiB")
    results = []
    for configuration in wanted:
        measured = _measure(configuration)
        predicted = predict(configuration, measured["supervised"])
        results.append(measured | {"predicted": predicted.parts(), "total": predicted.total})
        print(line(configuration, predicted, measured), flush=True)
    versions, *_ = [result.pop("versions") for result in results]
    if arguments.json:
        content = {"versions": versions, "runs": results}
        arguments.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    if arguments.page:
        arguments.page.write_text(page(versions, results), encoding="utf-8")
    failed = sum(not holds(each["total"], each["peak"]) for each in results)
    print(f"{len(results) - failed} of {len(results)} within 15 % or 128 MiB, at most 5 % under")
    return failed


def predict(configuration: Configuration, supervised: int) -> Estimate:
    """What memory/ says about this load."""
    load = Load(
        tokens=configuration.tokens,
        supervised=supervised,
        longest=configuration.tokens // configuration.documents,
        documents=configuration.documents,
    )
    architecture = architecture_from_config(SHAPES[configuration.shape])
    machine = Machine(gpu=configuration.device == "GPU", bf16=True)
    layout = Layout(activation_checkpointing=configuration.activation_checkpointing)
    return estimate(configuration.recipe(), architecture, machine, layout, load)


def line(configuration: Configuration, predicted: Estimate, measured: dict[str, Any]) -> str:
    peak = measured["peak"]
    error = 100 * (predicted.total - peak) / peak
    parts = " ".join(f"{name} {size / _MIB:.0f}" for name, size in predicted.parts().items())
    told = (f"{name} {size / _MIB:.0f}" for name, size in measured["parts"].items())
    of_gpu = f" | {' '.join(told)} | {measured['seconds']:.3f} s" if measured["parts"] else ""
    mark = "" if holds(predicted.total, peak) else "  FAILS"
    return (
        f"{configuration.name:<42}{predicted.total / _MIB:>10.0f}{peak / _MIB:>10.0f}"
        f"{error:>+7.1f}%   {parts}{of_gpu}{mark}"
    )


def _measure(configuration: Configuration) -> dict[str, Any]:
    """In a process of its own, so that nothing is left over from the one before."""
    command = [sys.executable, "-m", "bench.memory.measure", json.dumps(asdict(configuration))]
    environment = dict(os.environ) | allocator.environment(Device(configuration.device))
    made = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    result: dict[str, Any] = json.loads(made.stdout.splitlines()[-1])
    return result


if __name__ == "__main__":
    sys.exit(main())
