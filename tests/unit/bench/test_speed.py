"""What is made of measured speeds."""

from typing import Any

import pytest
from bench.methods import table as methods
from bench.trainer.contestants import LADDER
from bench.trainer.measure import Measured
from bench.trainer.table import table


def measured(name: str, seconds: float, peak: int) -> Measured:
    return Measured(
        contestant=name,
        conversations=10,
        seconds=seconds,
        peak_bytes=peak,
        tokens=100,
        computed=125,
        last_loss=2.0,
    )


def test_bounds_are_told_as_reached_or_missed() -> None:
    runs = {
        "ours": [measured("ours", 10, 5 << 30)],
        "guide": [measured("guide", 30, 10 << 30)],
        "grouped": [measured("grouped", 15, 10 << 30)],
    }
    said = table(runs, [4.0, 6.0, 5.0])
    assert "reached  speed against transformers.Trainer + peft as the guide shows: 3.00 ×" in said
    assert "MISSED   speed against the same, grouped by length: 1.50 ×" in said
    assert "reached  memory against the guide: 0.50 ×" in said
    assert "| this trainer | 1.000 | 1.00 × | 50% | 5.00 GiB |" in said


def test_each_rung_of_the_ladder_is_told_beside_the_one_before() -> None:
    runs = {name: [measured(name, 32 / 2**i, 1 << 30)] for i, name in enumerate(LADDER)}
    rungs = [line for line in table(runs, []).splitlines() if line.endswith("| 1.00 |")]
    assert [line.split("|")[2].strip() for line in rungs] == ["1.00"] + ["2.00"] * 4
    assert [line.split("|")[3].strip() for line in rungs] == [
        "1.00",
        "2.00",
        "4.00",
        "8.00",
        "16.00",
    ]


def run(library: str, quantization: str, chosen: list[str], **changes: Any) -> dict[str, Any]:
    order = {"library": library, "quantization": quantization, "methods": chosen}
    steps = {str(tokens): [1.0, 2.0, 4.0] for tokens in methods.TOKENS}
    return {"order": order, "seconds": dict.fromkeys(chosen, steps), "peak": 100} | changes


def test_dora_is_compared_with_the_step_of_lora_beside_it() -> None:
    both = list(methods.BOTH)
    slower = {str(tokens): [1.1, 2.2, 40.0] for tokens in methods.TOKENS}
    runs = [
        run("ours", "None", both, seconds=run("ours", "None", both)["seconds"] | {"DoRA": slower}),
        run("ours", "None", ["LoRA"]),
        run("ours", "None", ["DoRA"], peak=102),
    ]
    assert methods.ratios(runs, "ours", "None") == pytest.approx(
        {"time, 2048 tokens": 1.1, "time, 256 tokens": 1.1, "memory": 1.02}
    )
