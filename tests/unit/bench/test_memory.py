"""What was measured holds the estimate: on GPUs, where no test here can measure again, and on a
processor, where it takes a quarter of an hour."""

import json
from pathlib import Path
from typing import Any

import pytest
from bench.memory import page, tracked_page
from bench.memory.__main__ import predict
from bench.memory.claim import holds, in_use, tracks
from bench.memory.configurations import Configuration, on_cpu, on_fake_tensors, on_gpu

DOCS = Path(__file__).parents[3] / "docs"
ON_CPU = json.loads((DOCS / "data" / "memory.json").read_text(encoding="utf-8"))
ON_GPUS = [
    run
    for name in ("memory-h100.json", "memory-h200.json")
    for run in json.loads((DOCS / "data" / name).read_text(encoding="utf-8"))["runs"]
]
TRACKED = json.loads((DOCS / "data" / "memory-large-models.json").read_text(encoding="utf-8"))
UNDER = {"Phi-3-mini LoRA/Int8 BF16 4096"}
"""Estimated too low, as docs/gpu.md says."""


def test_estimates_of_gpus() -> None:
    assert set(wrong(ON_GPUS)) == UNDER


def test_every_configuration_of_a_gpu_was_measured() -> None:
    measured = {Configuration(**run["configuration"]).name for run in ON_GPUS}
    assert measured == {each.name for each in on_gpu()}


def test_estimates_of_a_processor() -> None:
    assert {Configuration(**run["configuration"]) for run in ON_CPU["runs"]} == set(on_cpu())
    assert not wrong(ON_CPU["runs"])


def wrong(runs: list[dict[str, Any]]) -> dict[str, tuple[int, int]]:
    """Bytes estimated today and measured then, where they do not agree."""
    found = {Configuration(**run["configuration"]): run for run in runs}
    return {
        configuration.name: (predict(configuration, run["supervised"]).total, run["peak"])
        for configuration, run in found.items()
        if not holds(predict(configuration, run["supervised"]).total, run["peak"])
    }


def test_the_page_is_of_these_measurements() -> None:
    assert (DOCS / "memory.md").read_text(encoding="utf-8") == page.page(**ON_CPU)


def test_estimates_of_large_models() -> None:
    runs = {Configuration(**run["configuration"]): run for run in TRACKED["runs"]}
    assert list(runs) == on_fake_tensors()
    for configuration, run in runs.items():
        estimated = in_use(predict(configuration, run["supervised"]))
        assert tracks(estimated, run["peak"]), configuration.name
        assert run["predicted"]["gradients"] == pytest.approx(run["parts"]["Gradient"], rel=0.01)
        assert run["predicted"]["optimizer"] == pytest.approx(run["parts"]["Optstate"], rel=0.01)


def test_the_page_of_large_models_is_of_these_counts() -> None:
    said = (DOCS / "memory-large-models.md").read_text(encoding="utf-8")
    assert said == tracked_page.page(**TRACKED)
