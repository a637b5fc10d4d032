"""How much better, and how certain. Pure."""

from bench.scenarios.result import Bounds
from finetune_trainer.metrics import Rows
from finetune_trainer.recipe import Metric
from finetune_trainer.report import scores
from finetune_trainer.report.scores import Scores, ScoresOfBoth


def gain(metric: Metric, tuned: Rows, other: Rows) -> Bounds:
    """Of the tuned model over another, above 0 when it is better whichever way the metric points.

    Paired bootstrap over the examples: both are resampled alike.

    Args:
        tuned: what each held-out example adds to the metric's sums, shape (examples, columns).
        other: of the same examples in the same order.

    Raises:
        ValueError: they are not as many examples.
    """
    if tuned.shape != other.shape:
        raise ValueError(f"{tuned.shape} and {other.shape} are not scores of the same examples")
    both = ScoresOfBoth(base=Scores(rows=other.tolist()), tuned=Scores(rows=tuned.tolist()))
    found = scores.gain(metric, both)
    if metric.lower_is_better:
        return Bounds(value=-found.value, low=-found.high, high=-found.low)
    return Bounds(value=found.value, low=found.low, high=found.high)
