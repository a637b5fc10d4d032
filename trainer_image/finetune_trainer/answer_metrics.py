"""What an answer is worth beside those that are right: its row for each metric.

ExactMatch and F1 as SQuAD 1.1 has them (Rajpurkar et al., 2016): upper case, punctuation and
articles do not count, and the best of several right answers does. ChrF (chrF2; Popović, 2015) and
BLEU (Papineni et al., 2002) are sacrebleu's: a row holds its counts for one sentence, which it adds
up over a corpus.
"""

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finetune_trainer.recipe import Metric

Sums = NDArray[np.float64]

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def rows(metric: Metric, answer: str, right: Sequence[str]) -> list[float]:
    """What the answer adds to each sum of the metric.

    Args:
        right: every text that would be right, at least one.
    """
    return _ROWS[metric](answer, right)


def chrf(sums: Sums) -> Sums:
    """0 to 100, from sums of shape (…, 18)."""
    return _from_counts(_chrf(), sums)


def bleu(sums: Sums) -> Sums:
    """0 to 100, from sums of shape (…, 10)."""
    return _from_counts(_bleu(), sums)


def _exact_match(answer: str, right: Sequence[str]) -> list[float]:
    said = _normalized(answer)
    return [float(any(said == _normalized(each) for each in right)), 1.0]


def _f1(answer: str, right: Sequence[str]) -> list[float]:
    said = _normalized(answer).split()
    return [max(_overlap(said, _normalized(each).split()) for each in right), 1.0]


def _overlap(said: list[str], right: list[str]) -> float:
    """Harmonic mean of the shares of words that both have."""
    if not said or not right:
        return float(said == right)
    both = sum((Counter(said) & Counter(right)).values())
    return 2 * both / (len(said) + len(right))


def _normalized(text: str) -> str:
    without = text.lower().translate(_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", without).split())


def _counts(metric: Callable[[], Any]) -> Callable[[str, Sequence[str]], list[float]]:
    def of_sentence(answer: str, right: Sequence[str]) -> list[float]:
        found = metric()._extract_corpus_statistics([answer], [[each] for each in right])
        return [float(count) for count in found[0]]

    return of_sentence


def _from_counts(metric: Any, sums: Sums) -> Sums:
    def score(counts: Sums) -> float:
        return float(metric._compute_score_from_stats(counts.tolist()).score)

    return np.apply_along_axis(score, -1, sums)


# sacrebleu is imported where it is needed: most runs ask for neither.
@cache
def _chrf() -> Any:
    from sacrebleu.metrics.chrf import CHRF  # noqa: PLC0415

    return CHRF()


@cache
def _bleu() -> Any:
    from sacrebleu.metrics.bleu import BLEU  # noqa: PLC0415

    return BLEU()


_ROWS: dict[Metric, Callable[[str, Sequence[str]], list[float]]] = {
    Metric.EXACT_MATCH: _exact_match,
    Metric.F1: _f1,
    Metric.CHRF: _counts(_chrf),
    Metric.BLEU: _counts(_bleu),
}
