"""Metrics from sums: what seqeval and scikit-learn say."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics import f1_score as entity_f1
from sklearn.metrics import f1_score

from finetune_trainer.metrics import value
from finetune_trainer.recipe import Metric

TAGS = ("O", "B-A", "I-A", "B-B", "I-B")


@st.composite
def answers(draw: st.DrawFn) -> tuple[list[int], list[int]]:
    """What is right, and what was said."""
    count = draw(st.integers(1, 40))
    numbers = st.lists(st.integers(0, 4), min_size=count, max_size=count)
    return draw(numbers), draw(numbers)


@given(answers())
def test_macro_f1_is_that_of_scikit_learn(pairs: tuple[list[int], list[int]]) -> None:
    right, said = (np.eye(5)[each] for each in pairs)
    rows = np.stack([said * right, said, right], axis=2).reshape(len(right), -1)
    expected = f1_score(*pairs, average="macro", zero_division=0)
    assert value(Metric.MACRO_F1, rows) == pytest.approx(expected)


def test_entity_f1_is_that_of_seqeval() -> None:
    from finetune_trainer.objectives.tag import entities  # noqa: PLC0415 - needs torch

    generator = np.random.default_rng(3)
    sentences: list[tuple[Any, Any]] = [
        (generator.integers(0, 5, size=12), generator.integers(0, 5, size=12)) for _ in range(30)
    ]
    rows = []
    for right, said in sentences:
        wanted, found = entities(right, TAGS), entities(said, TAGS)
        rows.append([len(wanted & found), len(found), len(wanted)])
    named = [[[TAGS[each] for each in side] for side in pair] for pair in sentences]
    expected = entity_f1([right for right, _ in named], [said for _, said in named])
    assert value(Metric.ENTITY_F1, np.array(rows, dtype=np.float64)) == pytest.approx(expected)


def test_nothing_found_and_nothing_to_find_is_no_division_by_zero() -> None:
    assert value(Metric.ENTITY_F1, np.zeros((3, 3))) == 0
    assert value(Metric.MACRO_F1, np.zeros((3, 6))) == 0
