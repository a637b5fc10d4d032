"""`make bench-methods`: time and memory of a DoRA step as a multiple of a LoRA step's.

Both methods take their steps in turns in one process, so that whatever the machine does meanwhile
hits both; memory is that of processes that know one of them. `--json FILE` writes every step, and
`--page FILE` a page for people.
"""

import argparse
import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.methods.measure import Order
from bench.methods.page import page
from bench.methods.table import BOTH, LIBRARIES, NAMES, TOKENS, missed, table
from bench.trainer.versions import versions
from finetune_trainer import computing
from finetune_trainer.processors import usable
from finetune_trainer.recipe import Device


def main() -> int:
    """The number of bounds that are missed."""
    parser = argparse.ArgumentParser(prog="bench.methods", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--page", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    runs = []
    for quantization in NAMES:
        for library in LIBRARIES:
            runs.append(_run(Order(library, quantization, BOTH, TOKENS, arguments.rounds)))
            runs += [_run(Order(library, quantization, (each,), TOKENS[:1], 2)) for each in BOTH]
    print("\n".join(table(runs)))
    report = {"versions": versions(), "runs": runs}
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    if arguments.page:
        arguments.page.write_text(page(report), encoding="utf-8")
    return missed(runs)


def _run(order: Order) -> dict[str, Any]:
    print(f"{order.library}, {order.quantization}, {order.methods} …", file=sys.stderr, flush=True)
    command = [sys.executable, "-m", "bench.methods.measure", json.dumps(asdict(order))]
    environment = os.environ | computing.environment(Device.CPU, usable())
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    made: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return made


if __name__ == "__main__":
    sys.exit(main())
