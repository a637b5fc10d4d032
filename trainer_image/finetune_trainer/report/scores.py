"""Scores of each held-out example, and how far chance alone could have moved their mean."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from finetune_trainer.manifest import Message

_SAMPLES = 2000
_SEED = 0


class Scores(Message):
    """A metric of one model on each held-out example; its value is the weighted mean."""

    values: list[float]
    weights: list[int]


class ScoresOfBoth(Message):
    """One metric; the examples are in the same order."""

    base: Scores
    tuned: Scores


class ScoresFile(Message):
    """output/evaluation.json: what the numbers of completion.json are the means of."""

    metrics: dict[str, ScoresOfBoth]


@dataclass(frozen=True)
class Interval:
    """A value, and between what it lies in 95 of 100 resamplings."""

    value: float
    low: float
    high: float


def read_scores(path: Path) -> Scores | None:
    """None where an attempt of an older version left none."""
    try:
        return Scores.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def interval(scores: Scores) -> Interval:
    """Bootstrap over the examples."""
    return _bootstrap(scores.values, scores.weights)


def gain(both: ScoresOfBoth) -> Interval:
    """Tuned less base; paired, because both answer the same examples."""
    pairs = zip(both.tuned.values, both.base.values, strict=True)
    return _bootstrap([tuned - base for tuned, base in pairs], both.base.weights)


def _bootstrap(values: Sequence[float], weights: Sequence[int]) -> Interval:
    weight = np.array(weights, dtype=np.float64)
    weighted = np.array(values) * weight
    generator = np.random.default_rng(_SEED)
    # One resampling at a time: all at once would need gigabytes for many examples.
    means = []
    for _ in range(_SAMPLES):
        chosen = generator.integers(len(weight), size=len(weight))
        means.append(weighted[chosen].sum() / weight[chosen].sum())
    low, high = np.percentile(means, [2.5, 97.5])
    return Interval(float(weighted.sum() / weight.sum()), float(low), float(high))
