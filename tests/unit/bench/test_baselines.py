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


def test_every_baseline_of_the_table_is_there() -> None:
    assert {name for each in SCENARIOS for name in each.baselines} <= BASELINES.keys()
