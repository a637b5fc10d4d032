"""Metrics as functions of sums over examples.

Each example gives a row of numbers, and a metric is a function of the sums of their columns. So
processes share the work and add up, and a bootstrap only adds up again.
"""

from collections.abc import Callable, Collection, Mapping

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


def f1(sums: Rows) -> NDArray[np.float64]:
    """Three columns: what was found and is right, what was found, and what there is to find.

    0 where there is neither.
    """
    right, found, wanted = np.moveaxis(sums, -1, 0)
    result: NDArray[np.float64] = 2 * right / np.maximum(found + wanted, 1)
    return result


def macro_f1(sums: Rows) -> NDArray[np.float64]:
    """Three columns for each class, as of f1: the mean over the classes that there are, in what was
    found or in what there is to find."""
    classes = sums.reshape(*sums.shape[:-1], -1, 3)
    there = classes[..., 1:].sum(axis=-1) > 0
    result: NDArray[np.float64] = f1(classes).sum(axis=-1) / np.maximum(there.sum(axis=-1), 1)
    return result


def difference_of_means(sums: Rows) -> NDArray[np.float64]:
    """Four columns: as in `mean`, of one side and of the other; a side without weight has 0."""
    sides = (sums[..., 0:2], sums[..., 2:4])
    one, other = (
        np.divide(side[..., 0], side[..., 1], out=np.zeros(side.shape[:-1]), where=side[..., 1] > 0)
        for side in sides
    )
    result: NDArray[np.float64] = one - other
    return result


METRICS: dict[Metric, Callable[[Rows], NDArray[np.float64]]] = {
    Metric.LOSS: mean,
    Metric.EXACT_MATCH: mean,
    Metric.F1: mean,
    Metric.CHRF: answer_metrics.chrf,
    Metric.BLEU: answer_metrics.bleu,
    Metric.GENERAL_LOSS: mean,
    Metric.ACCURACY: mean,
    Metric.MACRO_F1: macro_f1,
    Metric.ENTITY_F1: f1,
    Metric.REWARD_ACCURACY: mean,
    Metric.REWARD_MARGIN: difference_of_means,
}
"""From sums, shape (…, columns), to values, shape (…). Loss is in nats per unit of weight,
ChrF and BLEU are from 0 to 100, all others from 0 to 1."""


def chosen(found: Mapping[Metric, Rows], metrics: Collection[Metric]) -> dict[Metric, Rows]:
    """Those that are wanted, and Loss always."""
    return {metric: rows for metric, rows in found.items() if metric in {Metric.LOSS, *metrics}}


def value(metric: Metric, rows: Rows) -> float:
    """The metric over all examples."""
    return float(METRICS[metric](rows.sum(axis=0)))
