"""docs/strategies.md from the results. Pure."""

from collections.abc import Mapping
from itertools import groupby
from typing import Any

_MIB = 1 << 20
_INTRODUCTION = """\
<!-- Written by `make bench-strategies` from data/strategies.json: do not edit. -->

# Strategies, measured

The same steps in {processes} processes under each [strategy](distribution.md): the highest
anonymous memory of a process, from start to end, with the checkpoint that the last step writes and
the result; what was estimated for it before; and the largest difference of a step's loss from
DataParallel's. SmolLM2-135M, {steps} steps of two rows of {length} tokens for each process, one at
a time, in FP32.

```console
$ make bench-strategies BENCH_ARGUMENTS="--steps {steps} \\
    --json docs/data/strategies.json --page docs/strategies.md"
```

The estimate is of rows that are full and learned from throughout; those of real conversations are
not, and so it is on the high side where rows take most of the memory. A test holds today's estimate
to these measurements. Under LoRA little is shared out but with ZeRO3, and DeepSpeed itself takes
100 MiB.
"""


def page(report: Mapping[str, Any]) -> str:
    """The whole page."""
    versions = report["versions"]
    numbers = {"processes": report["processes"], "steps": report["steps"]}
    parts = [_INTRODUCTION.format(**numbers, length=report["maxLength"])]
    for method, runs in groupby(report["runs"], lambda each: each["method"]):
        parts += [
            f"## {method}",
            "",
            "| MiB | measured | of DataParallel's | estimated | | farthest loss |",
            "| --- | ---: | ---: | ---: | ---: | ---: |",
            *_rows(list(runs)),
            "",
        ]
    parts += [
        f"{versions['processor']}, {versions['cores']} cores; torch {versions['torch']},",
        f"transformers {versions['transformers']}, peft {versions['peft']}.",
        "",
    ]
    return "\n".join(parts)


def _rows(runs: list[dict[str, Any]]) -> list[str]:
    whole = runs[0]["peak"]
    return [
        f"| {each['strategy']} | {each['peak'] / _MIB:.0f} | {each['peak'] / whole:.2f}"
        f" | {each['predicted']['total'] / _MIB:.0f}"
        f" | {100 * (each['predicted']['total'] / each['peak'] - 1):+.1f} %"
        f" | {each['farthest']:.1e} |"
        for each in runs
    ]
