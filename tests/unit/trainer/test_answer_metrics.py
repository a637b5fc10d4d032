"""Metrics of answers are those that the field knows, and functions of sums."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from finetune_trainer.answer_metrics import rows
from finetune_trainer.metrics import METRICS, value
from finetune_trainer.recipe import Metric


@pytest.mark.parametrize(
    ("answer", "right", "exact", "f1"),
    [
        ("The Spree.", ["the spree"], 1.0, 1.0),
        ("Spree", ["a  Spree!"], 1.0, 1.0),
        ("in Berlin", ["Berlin"], 0.0, 2 / 3),
        ("in in Berlin", ["in Berlin in"], 0.0, 1.0),
        ("Bonn", ["Berlin", "Bonn am Rhein", "Bonn"], 1.0, 1.0),
        ("Bonn", ["Berlin", "Bonn am Rhein"], 0.0, 0.5),
        ("", ["Berlin"], 0.0, 0.0),
        ("the", ["a"], 1.0, 1.0),
    ],
)
def test_answers_are_compared_as_in_squad(
    answer: str, right: list[str], exact: float, f1: float
) -> None:
    assert rows(Metric.EXACT_MATCH, answer, right) == [exact, 1.0]
    assert rows(Metric.F1, answer, right) == [pytest.approx(f1), 1.0]


SENTENCES = st.lists(
    st.tuples(*[st.text("ab cd.", max_size=30)] * 2).filter(lambda pair: bool(pair[1].strip())),
    min_size=1,
    max_size=5,
)


@given(pairs=SENTENCES)
@settings(max_examples=50, deadline=None, derandomize=True)
def test_sums_of_rows_give_what_sacrebleu_gives_for_the_corpus(
    pairs: list[tuple[str, str]],
) -> None:
    said, right = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    for metric, theirs in ((Metric.CHRF, CHRF()), (Metric.BLEU, BLEU())):
        ours = np.array([rows(metric, answer, [each]) for answer, each in pairs])
        expected = theirs.corpus_score(said, [right]).score
        assert value(metric, ours) == pytest.approx(expected)


def test_many_resamplings_are_scored_at_once() -> None:
    for metric in (Metric.F1, Metric.CHRF, Metric.BLEU):
        one = np.array(rows(metric, "the tower is tall", ["the tower is very tall"]))
        assert METRICS[metric](np.stack([one, 2 * one, 3 * one])).shape == (3,)
