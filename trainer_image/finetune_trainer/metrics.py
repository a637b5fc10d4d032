"""Metrics as functions of sums over examples.

Each example gives a row of numbers, and a metric is a function of the sums of their columns. So
processes share the work and add up, and a bootstrap only adds up again.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from finetune_trainer import answer_metrics
from finetune_trainer.recipe import Metric

Rows = NDArray[np.float64]
"""What an example adds to each sum, shape (examples, columns)."""


def mean(sums: Rows) -> NDArray[np.float64]:
    """Two columns: values times their weights, and the weights."""
    result: NDArray[np.float64] = sums[..., 0] / sums[..., 1]
    return result


METRICS: dict[Metric, Callable[[Rows], NDArray[np.float64]]] = {
    Metric.LOSS: mean,
    Metric.EXACT_MATCH: mean,
    Metric.F1: mean,
    Metric.CHRF: answer_metrics.chrf,
    Metric.BLEU: answer_metrics.bleu,
}
"""From sums, shape (…, columns), to values, shape (…). Loss is in nats per unit of weight,
ExactMatch and F1 are from 0 to 1, ChrF and BLEU from 0 to 100."""


def value(metric: Metric, rows: Rows) -> float:
    """The metric over all examples."""
    return float(METRICS[metric](rows.sum(axis=0)))
