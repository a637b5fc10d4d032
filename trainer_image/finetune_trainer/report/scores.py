"""What each held-out example adds to a metric, and how far chance alone could have moved it."""

from dataclasses import dataclass

import numpy as np
from pydantic import Field

from finetune_trainer.frozen import Frozen
from finetune_trainer.metrics import METRICS, Rows, value
from finetune_trainer.recipe import Metric
from finetune_trainer.report.answers import Answer, AnswersOfBoth

_SAMPLES = 2000
_DRAWN_AT_A_TIME = 100_000
_SEED = 0


class Scores(Frozen):
    """A metric of one model: a function of the sums of the columns. Of a mean they are each
    example's value times its weight, and its weight."""

    rows: list[list[float]]


class ScoresOfBoth(Frozen):
    """One metric; the examples are in the same order."""

    base: Scores
    tuned: Scores


class ScoresFile(Frozen):
    """output/evaluation.json: what the numbers of completion.json are the means of."""

    metrics: dict[Metric, ScoresOfBoth]
    answers: list[AnswersOfBoth] = Field(default_factory=list)
    """Of evaluation.shownExamples held-out examples, where the task makes text."""


class ScoresOfModel(Frozen):
    """Of one model. Of the base model it is kept: see engine/base_scores.py."""

    metrics: dict[Metric, Scores]
    answers: list[Answer] = Field(default_factory=list)


@dataclass(frozen=True)
class Interval:
    """A value, and between what it lies in 95 of 100 resamplings."""

    value: float
    low: float
    high: float


def interval(metric: Metric, scores: Scores) -> Interval:
    """Bootstrap over the examples."""
    rows = np.array(scores.rows)
    return _between(value(metric, rows), METRICS[metric](_resampled(rows)))


def gain(metric: Metric, both: ScoresOfBoth) -> Interval:
    """Tuned less base; paired, because both answer the same examples."""
    base, tuned = np.array(both.base.rows), np.array(both.tuned.rows)
    of = METRICS[metric]
    found = of(_resampled(tuned)) - of(_resampled(base))
    return _between(value(metric, tuned) - value(metric, base), found)


def _resampled(rows: Rows) -> Rows:
    """Sums of as many examples, drawn with replacement, always the same ones; (samples, columns)"""
    generator = np.random.default_rng(_SEED)
    # Some at a time: all at once would need gigabytes for many examples.
    at_a_time = max(1, _DRAWN_AT_A_TIME // len(rows))
    found = []
    for done in range(0, _SAMPLES, at_a_time):
        size = (min(at_a_time, _SAMPLES - done), len(rows))
        found.append(rows[generator.integers(len(rows), size=size)].sum(axis=1))
    return np.concatenate(found)


def _between(measured: float, found: Rows) -> Interval:
    low, high = np.percentile(found, [2.5, 97.5])
    return Interval(measured, float(low), float(high))
