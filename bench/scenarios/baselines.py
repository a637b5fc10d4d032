"""What can be had without tuning a language model: what a tuned one has to beat.

Each gives the rows of the scenario's metric on the same held-out examples, in the same order.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from bench.scenarios.identity import ROOT
from bench.scenarios.job import Inputs
from bench.scenarios.table import Scenario
from finetune_trainer import answer_metrics
from finetune_trainer.metrics import Rows, value


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
    "the source copied": _source_again,
    "one answer to all": _one_answer,
}
"""By the name that table.py and the page have for them."""
