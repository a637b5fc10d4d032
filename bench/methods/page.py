"""docs/dora.md from the measured steps. Pure."""

from collections.abc import Mapping
from typing import Any

from bench.methods.table import table

_INTRODUCTION = """\
<!-- Written by `make bench-methods` from data/methods.json: do not edit. -->

# What DoRA costs more than LoRA

A step of DoRA as a multiple of a step of LoRA of the same rank, on a model of SmolLM2-135M's shape
in FP32; PEFT's own implementation on the same model and row beside it. Both take their steps in
turns in one process; memory is that of processes of their own, at their highest. **Bold**: above
what we allow ourselves.

The norm of each row of W + sBA is made from the factors, and BA is never made dense, as PEFT does
in each step. What is kept here beyond LoRA's are the outputs of modules that nothing else keeps
(queries and keys before they are rotated, and what comes out of attention and feed-forward): the
gradient of the magnitudes is made from them.

```console
$ make bench-methods BENCH_ARGUMENTS="--json docs/data/methods.json --page docs/dora.md"
```
"""


def page(report: Mapping[str, Any]) -> str:
    """The whole page."""
    versions = report["versions"]
    return "\n".join(
        [
            _INTRODUCTION,
            *table(report["runs"]),
            "",
            f"{versions['processor']}, {versions['cores']} cores; torch {versions['torch']},",
            f"transformers {versions['transformers']}, peft {versions['peft']};"
            f" commit {versions['commit']}.",
            "",
        ]
    )
