"""What a tuned model has to beat, on data of a few lines."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from bench.scenarios.baselines import BASELINES, measured
from bench.scenarios.job import Inputs
from bench.scenarios.table import SCENARIOS

from finetune_trainer.recipe import Metric

SCENARIO = SCENARIOS[0]


def inputs(folder: Path, train: Sequence[Any], validation: Sequence[Any]) -> Inputs:
    for name, lines in (("train", train), ("validation", validation)):
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (folder / f"{name}.jsonl").write_text(text)
    return Inputs(folder, folder)


def value(name: str, metric: Metric, given: Inputs) -> float:
    scenario = replace(SCENARIO, metric=metric, baselines=(name,))
    return measured(scenario, given)[name].value


def test_the_source_copied_is_right_where_both_languages_say_the_same(tmp_path: Path) -> None:
    same = {"source": "Django administration", "target": "Django administration"}
    other = {"source": "Guardar como nuevo", "target": "Save as new"}
    assert value("the source copied", Metric.CHRF, inputs(tmp_path, [], [same])) == 100
    both = value("the source copied", Metric.CHRF, inputs(tmp_path, [], [same, other]))
    assert 0 < both < 100


def test_one_answer_to_all_is_the_one_that_is_right_most_often(tmp_path: Path) -> None:
    train = [{"answer": "yes"}, {"answer": ["no", "yes"]}, {"answer": "maybe"}]
    validation = [{"answer": "Yes."}, {"answer": ["never", "yes"]}, {"answer": "no"}]
    found = value("one answer to all", Metric.EXACT_MATCH, inputs(tmp_path, train, validation))
    assert found == pytest.approx(2 / 3)


TEXTS = [{"text": "a", "label": "x"}, {"text": "b", "label": "x"}, {"text": "c", "label": "y"}]


@pytest.mark.parametrize(("metric", "worth"), [(Metric.ACCURACY, 2 / 3), (Metric.MACRO_F1, 0.4)])
def test_the_largest_class(tmp_path: Path, metric: Metric, worth: float) -> None:
    found = value("the largest class", metric, inputs(tmp_path, TEXTS, TEXTS))
    assert found == pytest.approx(worth)


def test_words_have_their_usual_tags(tmp_path: Path) -> None:
    train = [{"tokens": ["Ada", "Lovelace", "wrote"], "tags": ["B-PERSON", "I-PERSON", "O"]}]
    known = {"tokens": ["Ada", "Lovelace"], "tags": ["B-PERSON", "I-PERSON"]}
    unknown = {"tokens": ["Grace", "wrote"], "tags": ["B-PERSON", "O"]}
    given = inputs(tmp_path, train, [known, unknown])
    assert value("the words' usual tags", Metric.ENTITY_F1, given) == pytest.approx(2 / 3)


def test_every_baseline_of_the_table_is_there() -> None:
    assert {name for each in SCENARIOS for name in each.baselines} <= BASELINES.keys()
