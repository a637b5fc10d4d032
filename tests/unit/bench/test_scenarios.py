"""What is made of measured runs: gains, verdicts, the page."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from bench.measured_with import ROOT
from bench.scenarios import claims
from bench.scenarios.__main__ import PAGE, RESULTS
from bench.scenarios.claims import Verdict, of_parity, of_quality, of_resource, table
from bench.scenarios.gains import gain
from bench.scenarios.job import Inputs, changed
from bench.scenarios.page import page
from bench.scenarios.result import Bounds, Broken, Provenance, Result, Results
from bench.scenarios.table import (
    CHATBOTS,
    CLAIMED,
    COLUMNS,
    PARITY_STEPS,
    SCENARIOS,
    STRATEGIES,
    Run,
    Scenario,
    all_runs,
    parity,
    quality,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from finetune_trainer.recipe import Metric

CHAT = next(each for each in SCENARIOS if each.name == "chat")
INPUTS = Inputs(Path("/model"), Path("/data"))
PROVENANCE = Provenance(
    commit="c", versions={}, processor="p", cores=2, threads=2, at_once=1, load=0.5
)


def result(**changes: Any) -> Result:
    values: dict[str, Any] = {
        "digest": "d",
        "data": "x",
        "provenance": PROVENANCE,
        "metrics": {"Loss": (5.0, 1.0)},
        "held_out": 28,
        "gains": {"base": Bounds(value=4.0, low=3.5, high=4.5)},
        "baselines": {},
        "trained_parameters": 100,
        "peak_bytes": [1000],
        "estimated_bytes": None,
        "seconds": 60.0,
        "steps": 72,
        "step_seconds": 1.0,
        "step_cpu_seconds": 2.0,
        "early_step_seconds": None,
        "losses": [],
    }
    return Result.model_validate(values | changes)


SCORES = arrays(
    np.float64,
    st.tuples(st.integers(2, 12), st.just(2)),
    elements=st.floats(0.5, 8.0),
)


@settings(max_examples=10)  # each resamples thousands of times
@given(SCORES)
def test_nothing_is_gained_over_itself(rows: Any) -> None:
    found = gain(Metric.LOSS, rows, rows)
    assert (found.value, found.low, found.high) == (0, 0, 0)


@settings(max_examples=10)  # each resamples thousands of times
@given(SCORES)
def test_a_lower_loss_on_every_example_is_a_certain_gain(rows: Any) -> None:
    better = rows * [0.5, 1.0]
    found = gain(Metric.LOSS, better, rows)
    assert found.low > 0
    back = gain(Metric.LOSS, rows, better)
    assert (back.value, back.low, back.high) == pytest.approx(
        (-found.value, -found.high, -found.low)
    )


def test_scores_of_other_examples_are_refused() -> None:
    with pytest.raises(ValueError, match="not scores of the same examples"):
        gain(Metric.LOSS, np.ones((3, 2)), np.ones((4, 2)))


@pytest.mark.parametrize("column", COLUMNS)
def test_columns_differ_in_the_method_alone(column: str) -> None:
    job = yaml.safe_load((ROOT / "examples/chat/job.yaml").read_text())
    made = changed(job, CHAT, Run("chat", column, seed=2), INPUTS)["spec"]
    method = made["method"]
    assert method["type"] == COLUMNS[column]["method"]["type"]
    if method["type"] in ("LoRA", "DoRA"):
        assert method[method["type"].lower()] == job["spec"]["method"]["lora"]
    assert made["training"]["seed"] == 2
    assert made["dataset"]["validation"] == [{"storageUri": "file:///data/validation.jsonl"}]
    same = ("task", "training.maxSteps", "training.maxLength", "training.tokensPerBatch")
    for name in same:
        assert _member(made, name) == _member(job["spec"], name)


def test_a_run_of_quality_measures_only_what_is_told() -> None:
    job = yaml.safe_load((ROOT / "examples/chat/job.yaml").read_text())
    made = changed(job, replace(CHAT, steps=5), Run("chat", "LoRA"), INPUTS)["spec"]
    assert made["evaluation"] == {"metrics": ["Loss"], "shownExamples": 0}
    assert made["training"]["maxSteps"] == 5
    whole = changed(job, replace(CHAT, steps=None), Run("chat", "LoRA"), INPUTS)["spec"]
    assert whole["training"]["maxSteps"] == job["spec"]["training"]["maxSteps"]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda each: each.name)
def test_a_run_of_parity_has_a_sequence_for_each_process(scenario: Scenario) -> None:
    job = yaml.safe_load((ROOT / f"examples/{scenario.example}/job.yaml").read_text())
    for run in parity(scenario):
        training = changed(job, scenario, run, INPUTS)["spec"]["training"]
        assert training["maxSteps"] == PARITY_STEPS
        assert training["precision"] == "FP32"
        sequences, rest = divmod(training["tokensPerBatch"], training["maxLength"])
        assert sequences >= run.processes
        assert (sequences % run.processes, rest) == (0, 0), "they have to share it evenly"


def _member(value: Any, path: str) -> Any:
    for part in path.split("."):
        value = value[part]
    return value


def test_every_run_has_a_name_of_its_own() -> None:
    runs = all_runs()
    assert len({run.name for run in runs}) == len(runs)


def test_lora_and_one_more_method_of_a_row_have_three_seeds() -> None:
    for row in {each.row for each in SCENARIOS}:
        counts = [
            Counter(run.column for run in quality(scenario))
            for scenario in SCENARIOS
            if scenario.row == row
        ]
        assert any(sorted(each.values())[-2:] == [3, 3] and each["LoRA"] == 3 for each in counts)


def test_every_strategy_is_tried_in_every_row() -> None:
    for row in {each.row for each in SCENARIOS}:
        tried = {run.strategy for each in SCENARIOS if each.row == row for run in parity(each)}
        assert tried == {"DataParallel", *STRATEGIES.values()}


@pytest.mark.parametrize(
    ("gains", "verdict"),
    [
        ([{"base": 0.1}, {"base": 0.2}], Verdict.HOLDS),
        ([{"base": 0.1}, {"base": -0.01}], Verdict.FAILS),
        ([{"base": 0.1, "majority class": -0.01}], Verdict.FAILS),
        ([{}], Verdict.FAILS),
        ([], Verdict.OPEN),
    ],
)
def test_a_claim_holds_when_every_seed_beats_everything(
    gains: list[dict[str, float]], verdict: Verdict
) -> None:
    found = {
        Run("chat", "LoRA", seed).name: result(
            gains={name: Bounds(value=1, low=low, high=2) for name, low in each.items()}
        )
        for seed, each in enumerate(gains, start=1)
    }
    assert of_quality(CHATBOTS, "LoRA", found).verdict is verdict


@pytest.mark.parametrize(("off", "verdict"), [(5e-5, Verdict.HOLDS), (2e-4, Verdict.FAILS)])
def test_a_strategy_has_to_compute_the_same(off: float, verdict: Verdict) -> None:
    plain, zero2, _ = parity(CHAT)
    losses = [2.0] * PARITY_STEPS
    found = {
        plain.name: result(losses=losses),
        zero2.name: result(losses=[*losses[1:], 2.0 + off]),
    }
    assert of_parity(CHAT, "ZeRO2", found) == pytest.approx(off)
    assert of_quality(CHATBOTS, "DeepSpeed", found).verdict is verdict
    assert of_quality(CHATBOTS, "ZeRO", found).verdict is Verdict.OPEN


@pytest.mark.parametrize(
    ("taken", "verdict"), [(900, Verdict.HOLDS), (990, Verdict.FAILS), (1500, Verdict.FAILS)]
)
def test_less_means_clearly_less_than_full(taken: int, verdict: Verdict) -> None:
    memory = next(each for each in claims.RESOURCES if each.row == "less memory")
    found = {
        Run("chat", "QLoRA").name: result(peak_bytes=[taken]),
        Run("chat", "Full").name: result(peak_bytes=[1000]),
    }
    assert of_resource(memory, "QLoRA", found).verdict is verdict


def test_ten_steps_are_compared_with_all_of_them() -> None:
    found = {
        Run("chat", "LoRA").name: result(step_seconds=2.0, early_step_seconds=2.2),
        Run("chat", "Full").name: result(step_seconds=2.0, early_step_seconds=1.7),
        Run("chat", "DoRA").name: result(),
    }
    assert claims.early_errors(found) == pytest.approx([-0.15, 0.1])


def test_what_is_not_measured_is_not_claimed_to_be() -> None:
    verdicts = {cell.verdict for _, cells in table({}) for cell in cells}
    assert verdicts == {Verdict.OPEN}
    assert all(len(cells) == len(CLAIMED) for _, cells in table({}))


def test_a_failed_claim_is_shown_as_failed() -> None:
    found = {
        Run("chat", "LoRA").name: result(gains={"base": Bounds(value=0.1, low=-0.1, high=0.3)})
    }
    text = page(found, {})
    assert "yes: **fails**" in text
    assert "| **no** |" in text


def test_results_survive_the_process(tmp_path: Path) -> None:
    path = tmp_path / "data" / "scenarios.json"
    Results(path).put("chat, LoRA, seed 1", result())
    Results(path).put("chat, DoRA, seed 1", result(steps=3))
    assert {name: each.steps for name, each in Results(path).found.items()} == {
        "chat, DoRA, seed 1": 3,
        "chat, LoRA, seed 1": 72,
    }


def test_a_run_that_ended_with_an_error_is_shown_as_failed(tmp_path: Path) -> None:
    plain, zero2, _ = parity(CHAT)
    results = Results(tmp_path / "scenarios.json")
    results.put(plain.name, result(losses=[1.0]))
    results.put(zero2.name, Broken(digest="d", provenance=PROVENANCE, error="out of luck"))
    again = Results(tmp_path / "scenarios.json")
    text = page(again.found, again.broken)
    assert "yes: **fails**, 1 run ended with an error" in text
    assert f"| {zero2.name} | `out of luck` | c |" in text
    again.put(zero2.name, result(losses=[1.0]))
    assert not again.broken
    assert of_quality(CHATBOTS, "DeepSpeed", again.found).verdict is Verdict.HOLDS


def test_the_page_is_what_the_results_say() -> None:
    results = Results(RESULTS)
    assert PAGE.read_text() == page(results.found, results.broken), "make it again: make scenarios"


def test_what_a_process_took_is_compared_with_what_its_plan_told() -> None:
    taken = {
        Run("chat", "LoRA").name: result(peak_bytes=[900], estimated_bytes=1000),
        Run("chat", "Full").name: result(peak_bytes=[1100], estimated_bytes=1000),
        Run("chat", "DoRA").name: result(peak_bytes=[5000]),
        Run("chat", "QLoRA").name: result(peak_bytes=[5000], estimated_bytes=1000),
    }
    assert claims.over_estimates(taken) == [pytest.approx(-0.1), pytest.approx(0.1)]
    assert "**fails** (2 runs, -10% to +10%;" in page(taken, {})
