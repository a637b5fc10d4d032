"""What was measured of two processes holds today's estimate: it takes a quarter of an hour."""

import json
from pathlib import Path

from bench.memory.claim import holds
from bench.strategies.job import predict
from bench.strategies.page import page

from finetune_trainer.recipe import Strategy

DOCS = Path(__file__).parents[3] / "docs"
REPORT = json.loads((DOCS / "data" / "strategies.json").read_text(encoding="utf-8"))


def test_estimates_of_processes_that_share() -> None:
    wrong = {}
    for run in REPORT["runs"]:
        strategy = Strategy(run["strategy"])
        now = predict(run["method"], strategy, REPORT["maxLength"], REPORT["config"])
        if not holds(now["total"], run["peak"]):
            wrong[run["method"], strategy] = (now["total"] >> 20, run["peak"] >> 20)
    assert not wrong
    assert {run["strategy"] for run in REPORT["runs"]} == set(Strategy)


def test_the_page_is_of_these_measurements() -> None:
    assert (DOCS / "strategies.md").read_text(encoding="utf-8") == page(REPORT)
