"""docs/speed.md from the runs. Pure."""

from bench.trainer.precisions import compared
from bench.trainer.report import Report
from bench.trainer.table import table

_INTRODUCTION = """\
<!-- Written by `make bench-trainer` from data/trainer.json: do not edit. -->

# How fast it trains, and beside whom

The same LoRA (rank 16, every linear module), optimizer, data and order of work, each contestant in
a process of its own, in turns, so that whatever the machine does meanwhile hits all; medians of the
rounds. The data are {conversations} real conversations (package `chitchat-dataset`) of
natural length up to {max_length} tokens, so that nobody has to cut one; the model is
SmolLM2-135M-Instruct, in {precision}. A micro-step has four conversations, or a row of {row}
tokens, which is about as many. Conversations of a second count from the first optimizer step to the
last.

```console
$ make bench-trainer BENCH_ARGUMENTS="--conversations {conversations} \\
    --json docs/data/trainer.json --page docs/speed.md"
```

*Products alone* is how much of the time the model's own matrix products take, measured by
themselves: forwards, backwards to the inputs, and only supervised positions in the head. What is
left of 100 % is attention, norms, the adapter, the optimizer, padding and waiting. Memory is
anonymous memory at its highest since just before training.
"""


_IN_BF16 = """
## In bfloat16

The same, where the weights that are frozen and the arithmetic are bfloat16, on a processor that has
instructions for it (`--precision BF16 --only ours ours_fp32 loop guide held_out`; the page is made
with `--beside` and its file). Adapters stay FP32.
"""


def page(report: Report, bf16: Report | None = None) -> str:
    """The whole page.

    Args:
        report: in FP32.
        bf16: on the same machine.
    """
    versions = report.versions
    more = []
    if bf16:
        more = [_IN_BF16, table(bf16.runs, bf16.products), *compared(report, bf16)]
        more += ["", f"Commit {bf16.versions['commit']}."]
    return "\n".join(
        [
            _INTRODUCTION.format(**report.settings),
            table(report.runs, report.products),
            *more,
            "",
            f"{versions['processor']}, {versions['cores']} cores; torch {versions['torch']},",
            f"transformers {versions['transformers']}, peft {versions['peft']},"
            f" trl {versions['trl']}; commit {versions['commit']}.",
            "",
        ]
    )
