"""docs/memory-large-models.md from the results. Pure."""

from collections.abc import Mapping
from typing import Any

from bench.memory.configurations import Configuration

_MIB = 1 << 20
_INTRODUCTION = """\
<!-- Written by `make bench-memory` from data/memory-large-models.json: do not edit. -->

# Memory of large models, estimated and counted

The estimate of [memory](memory.md) for models that take a GPU, beside what torch's own tracker
(`torch.distributed._tools.mem_tracker`) counts of two steps on fake tensors: every operation of the
forward and the backward pass and of the optimizer is gone through, and nothing is computed or
allocated. Each step is two passes of a row of four documents in BF16, half of its tokens learned
from; LoRA and DoRA have rank 16, on every linear module; "again" computes activations again.

```console
$ make bench-memory BENCH_ARGUMENTS="--device Fake \\
    --json docs/data/memory-large-models.json --page docs/memory-large-models.md"
```

Counted are the tensors. What a framework takes and an allocator keeps beside them is measured
[on a processor](memory.md) and [on a GPU](gpu.md). A test holds today's estimate to these figures,
within 10 %.
"""


def page(versions: Mapping[str, str], runs: list[dict[str, Any]]) -> str:
    """The whole page."""
    errors = [_error(each) for each in runs]
    return "\n".join(
        [
            _INTRODUCTION,
            "| MiB | estimated | counted | | weights | gradients, optimizer | passing |",
            "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
            *map(_row, runs),
            "",
            f"{len(runs)} configurations: {min(errors):+.1f} % to {max(errors):+.1f} %. The second"
            " of each pair is what was counted.",
            f"torch {versions['torch']}, transformers {versions['transformers']},"
            f" peft {versions['peft']}.",
            "",
        ]
    )


def _error(run: Mapping[str, Any]) -> float:
    return float(100 * (run["total"] - run["peak"]) / run["peak"])


def _row(run: Mapping[str, Any]) -> str:
    estimated, counted = run["predicted"], run["parts"]
    pairs = [
        (("weights", "adapter"), ("Parameter", "Buffer")),
        (("gradients", "optimizer"), ("Gradient", "Optstate")),
        (("activations", "logits", "working"), ("Activation", "Temp", "Other")),
    ]
    told = [f"{_sum(estimated, ours)} / {_sum(counted, theirs)}" for ours, theirs in pairs]
    name = Configuration(**run["configuration"]).name
    total, peak = run["total"] / _MIB, run["peak"] / _MIB
    return f"| {name} | {total:.0f} | {peak:.0f} | {_error(run):+.1f} % | {' | '.join(told)} |"


def _sum(parts: Mapping[str, int], names: tuple[str, ...]) -> str:
    return f"{sum(parts[each] for each in names) / _MIB:.0f}"
