"""Print predicted and measured memory of each configuration; `--json FILE` writes the same, and
`--page FILE` a page for people.

On a processor it is anonymous memory and the weights that lie in the model's mapped files, with the
allocator that a training process has; on a GPU all that is taken of the card, whatever for. On fake
tensors it is what torch's own tracker counts of models that this machine could not hold.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

from bench.memory import page, tracked_page
from bench.memory.claim import holds, in_use, tracks
from bench.memory.configurations import SHAPES, Configuration, on_cpu, on_fake_tensors, on_gpu
from finetune_trainer import allocator, computing
from finetune_trainer.memory.estimate import Estimate, Load, estimate
from finetune_trainer.memory.families import architecture_from_config
from finetune_trainer.memory.layout import Layout, Machine
from finetune_trainer.processors import usable
from finetune_trainer.recipe import Device

_MIB = 1 << 20


@dataclass(frozen=True)
class Way:
    """One way of finding out what is taken."""

    configurations: Callable[[], list[Configuration]]
    program: str
    """Module that does it for one configuration."""
    claimed: Callable[[Estimate], int]
    """Bytes of an estimate that it sees."""
    holds: Callable[[int, int], bool]
    claim: str
    page: Callable[..., str] | None
    """None: docs/gpu.md is written by hand, of several cards."""


_CLOSE = "within 15 % or 128 MiB, at most 5 % under"
WAYS = {
    "CPU": Way(on_cpu, "bench.memory.measure", attrgetter("total"), holds, _CLOSE, page.page),
    "GPU": Way(on_gpu, "bench.memory.measure", attrgetter("total"), holds, _CLOSE, None),
    "Fake": Way(
        on_fake_tensors, "bench.memory.tracked", in_use, tracks, "within 10 %", tracked_page.page
    ),
}


def main() -> int:
    """The number of configurations outside of what is claimed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--page", type=Path, metavar="FILE")
    parser.add_argument("--device", choices=WAYS, default="CPU")
    parser.add_argument("--only", default="", help="configurations whose name contains this")
    arguments = parser.parse_args()
    way = WAYS[arguments.device]
    wanted = [each for each in way.configurations() if arguments.only in each.name]
    if arguments.device == "CPU" and not allocator.installed():
        parser.error(
            "what is estimated here is a training with jemalloc: make packages installs it"
        )
    if arguments.page and way.page is None:
        parser.error(f"no page is made of --device {arguments.device}: leave --page out")
    if not wanted:
        parser.error(f"no configuration's name contains {arguments.only!r}")
    print(f"{'configuration':<42}{'predicted':>10}{'measured':>10}{'error':>8}   parts, MiB")
    results = []
    for configuration in wanted:
        measured = _measure(configuration, way)
        predicted = predict(configuration, measured["supervised"])
        result = measured | {"predicted": predicted.parts(), "total": way.claimed(predicted)}
        results.append(result)
        print(line(configuration, result, way), flush=True)
    versions, *_ = [result.pop("versions") for result in results]
    if arguments.json:
        content = {"versions": versions, "runs": results}
        arguments.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    if arguments.page and way.page:
        arguments.page.write_text(way.page(versions, results), encoding="utf-8")
    failed = sum(not way.holds(each["total"], each["peak"]) for each in results)
    print(f"{len(results) - failed} of {len(results)} {way.claim}")
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


def line(configuration: Configuration, result: dict[str, Any], way: Way) -> str:
    total, peak = result["total"], result["peak"]
    error = 100 * (total - peak) / peak
    parts = " ".join(f"{name} {size / _MIB:.0f}" for name, size in result["predicted"].items())
    told = "".join(f" {name} {size / _MIB:.0f}" for name, size in result["parts"].items())
    mark = "" if way.holds(total, peak) else "  FAILS"
    return (
        f"{configuration.name:<42}{total / _MIB:>10.0f}{peak / _MIB:>10.0f}"
        f"{error:>+7.1f}%   {parts} |{told} | {result['seconds']:.3f} s{mark}"
    )


def _measure(configuration: Configuration, way: Way) -> dict[str, Any]:
    """In a process of its own, so that nothing is left over from the one before."""
    command = [sys.executable, "-m", way.program, json.dumps(asdict(configuration))]
    device = Device(configuration.device)
    environment = os.environ | computing.environment(device, usable())
    made = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    result: dict[str, Any] = json.loads(made.stdout.splitlines()[-1])
    return result


if __name__ == "__main__":
    sys.exit(main())
