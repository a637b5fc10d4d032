"""`python -m bench.speed` writes docs/speed.md from what bench-trainer and bench-methods left in
docs/data."""

import json
from pathlib import Path
from typing import Any

from bench.methods.table import table as methods_table
from bench.trainer.measure import Measured
from bench.trainer.table import table as trainer_table

DOCS = Path(__file__).parents[1] / "docs"
TRAINER = DOCS / "data" / "trainer.json"
METHODS = DOCS / "data" / "methods.json"
PAGE = DOCS / "speed.md"

_HEAD = """\
<!-- Written by `python -m bench.speed` from data/trainer.json and methods.json: do not edit. -->

# How fast it trains, and beside whom

Measured by

```console
$ make bench-trainer BENCH_ARGUMENTS="--json docs/data/trainer.json"
$ make bench-methods BENCH_ARGUMENTS="--json docs/data/methods.json"
$ python -m bench.speed
```
"""

_TRAINER = """\
## Conversations

The same LoRA (rank 16, every linear module), optimizer, data and order of work, each contestant in
a process of its own, in turns, so that whatever the machine does meanwhile hits all; medians of the
rounds. The data are real conversations of natural length (package `chitchat-dataset`), the model is
SmolLM2-135M-Instruct. Conversations of a second count from the first optimizer step to the last.

*Products alone* is how much of the time the model's own matrix products take, measured by
themselves: forwards, backwards to the inputs, and only supervised positions in the head. What is
left of 100 % is attention, norms, the adapter, the optimizer, padding and waiting.
"""

_METHODS = """\
## DoRA beside LoRA

A step of DoRA as a multiple of a step of LoRA of the same rank, on a model of SmolLM2-135M's shape
in FP32; PEFT's own implementation on the same model and row beside it. Both take their steps in
turns in one process; memory is that of processes of their own, at their highest. **Bold**: above
what we allow ourselves.
"""


def page(trainer: dict[str, Any] | None, methods: dict[str, Any]) -> str:
    """The whole page; `trainer` is None where that is not measured yet."""
    parts = [_HEAD]
    if trainer:
        parts += [_TRAINER, *_conversations(trainer), ""]
    parts += [_METHODS, *methods_table(methods["runs"]), "", _with(methods["versions"]), ""]
    return "\n".join(parts)


def made() -> str:
    """The page of what lies in docs/data."""
    trainer = json.loads(TRAINER.read_bytes()) if TRAINER.exists() else None
    return page(trainer, json.loads(METHODS.read_bytes()))


def _conversations(trainer: dict[str, Any]) -> list[str]:
    runs = {
        name: [Measured.model_validate(run) for run in each]
        for name, each in trainer["runs"].items()
    }
    settings = trainer["settings"]
    return [
        trainer_table(runs, trainer["products"]),
        "",
        f"{settings['conversations']} conversations in rows of {settings['row']} tokens,"
        f" {settings['precision']}, {settings['rounds']} rounds.",
        _with(trainer["versions"]),
    ]


def _with(versions: dict[str, str]) -> str:
    names = ("torch", "transformers", "peft", "trl")
    libraries = ", ".join(f"{name} {versions[name]}" for name in names)
    machine = f"{versions['processor']}, {versions['cores']} cores"
    return f"{machine}; {libraries}; commit {versions['commit']}."


if __name__ == "__main__":
    PAGE.write_text(made(), encoding="utf-8")
