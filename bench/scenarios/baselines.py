"""What can be had without tuning a language model: what a tuned one has to beat.

Each gives the rows of the scenario's metric on the same held-out examples, in the same order.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.scenarios.job import Inputs
from bench.scenarios.table import Scenario
from finetune_trainer.metrics import Rows, value

BASELINES: dict[str, Callable[[Scenario, Inputs], Rows]] = {}
"""By the name that table.py and the page have for them."""


@dataclass(frozen=True)
class Baseline:
    """One other way."""

    rows: Rows
    value: float


def measured(scenario: Scenario, inputs: Inputs, examples: int) -> dict[str, Baseline]:
    """Every baseline of the scenario.

    Raises:
        ValueError: one has another number of examples than the trainer held out.
    """
    found = {}
    for name in scenario.baselines:
        rows = BASELINES[name](scenario, inputs)
        if len(rows) != examples:
            raise ValueError(f"{name} has {len(rows)} examples, and the trainer {examples}")
        found[name] = Baseline(rows, value(scenario.metric, rows))
    return found


def digest() -> str:
    """Of this code."""
    return hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
