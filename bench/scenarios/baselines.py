"""What can be had without tuning a language model: what a tuned one has to beat.

Each gives the rows of the scenario's metric on the same held-out examples, in the same order.
"""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from seqeval.metrics.sequence_labeling import get_entities

from bench.measured_with import ROOT
from bench.scenarios.job import Inputs
from bench.scenarios.table import Scenario
from finetune_trainer import answer_metrics
from finetune_trainer.data.formats.conll import OUTSIDE
from finetune_trainer.metrics import Rows, value
from finetune_trainer.recipe import Metric


@dataclass(frozen=True)
class Baseline:
    """One other way."""

    rows: Rows
    value: float


def measured(scenario: Scenario, inputs: Inputs) -> dict[str, Baseline]:
    """Every baseline of the scenario, by name."""
    found = {}
    for name in scenario.baselines:
        rows = BASELINES[name](scenario, inputs)
        found[name] = Baseline(rows, value(scenario.metric, rows))
    return found


def digest() -> str:
    """Of this code."""
    return hashlib.sha256(Path(__file__).read_bytes()).hexdigest()


def _source_again(scenario: Scenario, inputs: Inputs) -> Rows:
    """Of Translation: the source as it is."""
    source, target = _key(scenario, "source"), _key(scenario, "target")
    held_out = _lines(inputs.validation)
    return _scored(scenario, [(each[source], each[target]) for each in held_out])


def _one_answer(scenario: Scenario, inputs: Inputs) -> Rows:
    """Of QuestionAnswering: to every question the answer that is most often right."""
    key = _key(scenario, "answer")
    counts = Counter(right for each in _lines(inputs.train) for right in _several(each[key]))
    ((answer, _),) = counts.most_common(1)
    return _scored(scenario, [(answer, each[key]) for each in _lines(inputs.validation)])


def _largest_class(scenario: Scenario, inputs: Inputs) -> Rows:
    """Of TextClassification: for every text the class that most texts are of."""
    key = _key(scenario, "label")
    train, held_out = ([each[key] for each in _lines(path)] for path in inputs.files)
    ((label, _),) = Counter(train).most_common(1)
    return _classified(scenario.metric, [label] * len(held_out), held_out, train)


def _frozen_encoder(scenario: Scenario, inputs: Inputs) -> Rows:
    """Of TextClassification: a logistic regression on what the base model says of a text."""
    from bench.scenarios import frozen  # noqa: PLC0415 - torch, which no other baseline needs

    text, label = _key(scenario, "text"), _key(scenario, "label")
    train, held_out = (_lines(path) for path in inputs.files)
    labels = [each[label] for each in train]
    said = frozen.predicted(
        inputs.model, [each[text] for each in train], labels, [each[text] for each in held_out]
    )
    return _classified(scenario.metric, said, [each[label] for each in held_out], labels)


def _known_words(scenario: Scenario, inputs: Inputs) -> Rows:
    """Of TokenClassification: each word has the tag that it most often had in what is learned
    from; one that was not there is of no entity."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    train, held_out = (_lines(path) for path in inputs.files)
    for each in train:
        for word, tag in zip(each["tokens"], each["tags"], strict=True):
            counts[word][tag] += 1
    usual = {word: tags.most_common(1)[0][0] for word, tags in counts.items()}
    rows = []
    for each in held_out:
        found = set(get_entities([usual.get(word, OUTSIDE) for word in each["tokens"]]))
        wanted = set(get_entities(each["tags"]))
        rows.append((len(found & wanted), len(found), len(wanted)))
    return np.array(rows, dtype=np.float64)


def _no_answer(scenario: Scenario, inputs: Inputs) -> Rows:
    """Of ExtractiveQuestionAnswering: that the text does not say it."""
    right = [[found["text"] for found in each["answers"]] for each in _lines(inputs.validation)]
    return _scored(scenario, [("", each or [""]) for each in right])


def _classified(
    metric: Metric, said: Sequence[str], right: Sequence[str], learned: Sequence[str]
) -> Rows:
    """Rows of Accuracy or of MacroF1, as objectives/text_class.py makes them."""
    if metric is Metric.ACCURACY:
        return np.array([(a == b, 1.0) for a, b in zip(said, right, strict=True)], np.float64)
    names = sorted(set(learned))
    answers, goals = ([[each == name for name in names] for each in side] for side in (said, right))
    found, wanted = np.array(answers, np.float64), np.array(goals, np.float64)
    return np.stack([found * wanted, found, wanted], axis=2).reshape(len(found), -1)


def _scored(scenario: Scenario, answers: list[tuple[str, Any]]) -> Rows:
    metric = scenario.metric
    return np.array(
        [answer_metrics.rows(metric, answer, _several(right)) for answer, right in answers]
    )


def _several(right: Any) -> list[str]:
    """One text, or all that would be right."""
    return [right] if isinstance(right, str) else list(right)


def _key(scenario: Scenario, role: str) -> str:
    """Under which a line of the data has it: dataset.columns of the job, or the role itself."""
    text = (ROOT / "examples" / scenario.example / "job.yaml").read_text(encoding="utf-8")
    columns = yaml.safe_load(text)["spec"]["dataset"].get("columns") or {}
    return str(columns.get(role, role))


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


BASELINES: dict[str, Callable[[Scenario, Inputs], Rows]] = {
    "the largest class": _largest_class,
    "frozen encoder + logistic regression": _frozen_encoder,
    "the words' usual tags": _known_words,
    "no answer to all": _no_answer,
    "the source copied": _source_again,
    "one answer to all": _one_answer,
}
"""By the name that table.py and the page have for them."""
