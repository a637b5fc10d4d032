"""What bfloat16 gives and costs, where the processor has it. Pure."""

import statistics

import numpy as np

from bench.trainer.measure import Measured
from bench.trainer.report import Report
from bench.trainer.table import verdict
from finetune_trainer.recipe import Metric
from finetune_trainer.report.scores import Interval, Scores, ScoresOfBoth, gain

SPEED_BOUND = 1.4
"""Times FP32's conversations per second."""
LOSS_BOUND = 0.005
"""Of FP32's loss, how much higher it may be on conversations that were held out."""


def compared(fp32: Report, bf16: Report) -> list[str]:
    """Lines of Markdown: this trainer in BF16 against itself in FP32, of speed in turns with it."""
    slower, faster = (
        statistics.median(run.rate for run in bf16.runs[name]) for name in ("ours_fp32", "ours")
    )
    lines = [verdict("speed in BF16 against FP32", faster / slower, SPEED_BOUND, "least")]
    before, after = (each.runs["held_out"][0] for each in (fp32, bf16))
    found = difference(before, after)
    worse, low, high = (each / _loss(before) for each in (found.value, found.low, found.high))
    held = "reached" if worse <= LOSS_BOUND else "**missed**"
    lines.append(
        f"- {held}: loss on {len(before.held_out or ())} conversations held out:"
        f" {_loss(before):.4f} in FP32, {_loss(after):.4f} in BF16: {worse:+.2%}"
        f" ({low:+.2%} to {high:+.2%}, paired), at most {LOSS_BOUND:.1%}; it was"
        f" {_loss(before, 'before'):.4f} and {_loss(after, 'before'):.4f} before training"
    )
    return lines


def difference(before: Measured, after: Measured) -> Interval:
    """Loss after less before, of the same conversations."""
    pair = (Scores(rows=each.held_out or []) for each in (before, after))
    return gain(Metric.LOSS, ScoresOfBoth(base=next(pair), tuned=next(pair)))


def _loss(measured: Measured, of: str = "held_out") -> float:
    lost, tokens = np.array(getattr(measured, of)).sum(axis=0)
    return float(lost / tokens)
