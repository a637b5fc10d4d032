"""What the steps of both methods say. Pure."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

BOTH = ("LoRA", "DoRA")
LIBRARIES = ("ours", "peft")
NAMES = {"None": "DoRA / LoRA", "NF4": "QDoRA / QLoRA"}
"""What is compared, by quantization."""
TOKENS = (2048, 256)
"""Of a row."""
BOUNDS = {
    ("None", "time, 2048 tokens"): 1.05,
    ("None", "time, 256 tokens"): 1.12,
    ("None", "memory"): 1.05,
    ("NF4", "time, 2048 tokens"): 1.25,
    ("NF4", "time, 256 tokens"): 1.25,
}
"""Of ours, at most."""

Runs = Sequence[Mapping[str, Any]]
"""What bench/methods/measure.py printed."""


def table(runs: Runs) -> list[str]:
    """Markdown."""
    lines = ["| | of a step | ours | at most | PEFT's |", "| --- | --- | ---: | ---: | ---: |"]
    for quantization, name in NAMES.items():
        peft = ratios(runs, "peft", quantization)
        for what, ours in ratios(runs, "ours", quantization).items():
            bound = BOUNDS.get((quantization, what))
            over = bound is not None and ours > bound
            shown = f"**{ours:.2f} ×**" if over else f"{ours:.2f} ×"
            limit = "" if bound is None else f"{bound} ×"
            lines.append(f"| {name} | {what} | {shown} | {limit} | {peft[what]:.2f} × |")
    return lines


def missed(runs: Runs) -> int:
    """The number of bounds that are."""
    return sum(
        ratios(runs, "ours", quantization)[what] > bound
        for (quantization, what), bound in BOUNDS.items()
    )


def ratios(runs: Runs, library: str, quantization: str) -> dict[str, float]:
    """DoRA's share of LoRA's: of times the median over pairs of steps that followed each other."""

    def run(methods: Sequence[str]) -> Mapping[str, Any]:
        wanted = (library, quantization, list(methods))
        return next(
            each
            for each in runs
            if wanted
            == tuple(each["order"][name] for name in ("library", "quantization", "methods"))
        )

    found = {}
    for tokens in TOKENS:
        lora, dora = (run(BOTH)["seconds"][method][str(tokens)] for method in BOTH)
        pairs = zip(dora, lora, strict=True)
        found[f"time, {tokens} tokens"] = statistics.median(mine / other for mine, other in pairs)
    lora, dora = (run([method])["peak"] for method in BOTH)
    return found | {"memory": dora / lora}
