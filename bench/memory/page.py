"""docs/memory.md from the results. Pure."""

from collections.abc import Mapping
from typing import Any

from bench.memory.configurations import Configuration

_MIB = 1 << 20
_INTRODUCTION = """\
<!-- Written by `make bench-memory` from data/memory.json: do not edit. -->

# Memory, estimated and measured

Before a job is given a machine it is told what fits: weights, adapter, gradients, optimizer state,
activations, logits and what is kept by the allocator, from the numbers of `config.json` alone. Here
is that estimate beside what real steps took on a processor. Measured is the highest anonymous
memory of the process in three steps, and the weights that lie in the model's mapped files. Each
step is two passes of a row of four documents ("1 document": of one), half of its tokens learned
from; LoRA and DoRA have rank 16, on every linear module.

```console
$ make bench-memory BENCH_ARGUMENTS="--json docs/data/memory.json --page docs/memory.md"
```

An estimate counts as right within 15 % or 128 MiB, and at most 5 % under: what is estimated too
low ends a training that has begun. A test holds today's estimate to these measurements. What was
seen on a GPU is in [On a GPU](gpu.md), and of models that take one in
[Memory of large models](memory-large-models.md).
"""


def page(versions: Mapping[str, str], runs: list[dict[str, Any]]) -> str:
    """The whole page."""
    errors = [_error(each) for each in runs]
    low, high = min(errors), max(errors)
    return "\n".join(
        [
            _INTRODUCTION,
            "| MiB | estimated | measured | | adapter, gradients, optimizer | passing | kept |",
            "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
            *map(_row, runs),
            "",
            f"{len(runs)} configurations: {low:+.1f} % to {high:+.1f} %. *Passing* is",
            "what comes and goes in a step: activations, logits, buffers; *kept* is what jemalloc",
            "may hold of it afterwards. The models are of shapes like those of their families;",
            "SmolLM2-135M has the real one's.",
            "",
            f"{versions['processor']}, {versions['cores']} cores; torch {versions['torch']},",
            f"transformers {versions['transformers']}, peft {versions['peft']}.",
            "",
        ]
    )


def _error(run: Mapping[str, Any]) -> float:
    return float(100 * (run["total"] - run["peak"]) / run["peak"])


def _row(run: Mapping[str, Any]) -> str:
    configuration = Configuration(**run["configuration"])
    name = configuration.name + (", 1 document" if configuration.documents == 1 else "")
    if configuration.supervised == 1:
        name += ", all learned from"
    parts = run["predicted"]
    trained = sum(parts[each] for each in ("adapter", "gradients", "optimizer"))
    passing = sum(parts[each] for each in ("activations", "logits", "working"))
    sizes = (run["total"], run["peak"], trained, passing, parts["allocator"])
    total, peak, *others = (f"{size / _MIB:.0f}" for size in sizes)
    return f"| {name} | {total} | {peak} | {_error(run):+.1f} % | {' | '.join(others)} |"
