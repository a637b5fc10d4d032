"""What is made of measured speeds."""

import json
from pathlib import Path
from typing import Any

import pytest
from bench.methods import table as methods
from bench.methods.page import page as steps_page
from bench.trainer import precisions
from bench.trainer.contestants import LADDER
from bench.trainer.measure import Measured
from bench.trainer.page import page
from bench.trainer.report import Report, begun
from bench.trainer.table import table

DOCS = Path(__file__).parents[3] / "docs"


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
    assert "- reached: speed against transformers.Trainer + peft as the guide shows: 3.00 ×" in said
    assert "- **missed**: speed against the same, grouped by length: 1.50 ×" in said
    assert "- reached: memory against the guide: 0.50 ×" in said
    assert "| this trainer | 1.000 | 1.00 × | 50% | 5.00 GiB |" in said


def test_each_rung_of_the_ladder_is_told_beside_the_one_before() -> None:
    runs = {name: [measured(name, 64 / 2**i, 1 << 30)] for i, name in enumerate(LADDER)}
    rungs = [line for line in table(runs, []).splitlines() if line.endswith("| 1.00 |")]
    assert [line.split("|")[2].strip() for line in rungs] == ["1.00"] + ["2.00"] * 5
    assert [line.split("|")[3].strip() for line in rungs] == [
        "1.00",
        "2.00",
        "4.00",
        "8.00",
        "16.00",
        "32.00",
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


def test_bfloat16_is_compared_with_fp32_on_the_same_conversations() -> None:
    """Twice as fast; each conversation of ten tokens 0.03 worse of 3, 1 %."""
    rows = [[30.0 + 5 * number, 10.0] for number in range(-3, 4)]
    worse = [[lost + 0.3, tokens] for lost, tokens in rows]
    before, after = (
        report(
            runs={
                "ours": [measured("ours", 5, 1 << 30)],
                "ours_fp32": [measured("ours", 10, 1 << 30)],
                "held_out": [
                    measured("held_out", 1, 1).model_copy(update={"held_out": of, "before": rows})
                ],
            }
        )
        for of in (rows, worse)
    )
    faster, loss = precisions.compared(before, after)
    assert faster == "- reached: speed in BF16 against FP32: 2.00 ×, at least 1.4 ×"
    assert "**missed**: loss on 7 conversations held out: 3.0000 in FP32, 3.0300 in BF16" in loss
    assert "+1.00% (+1.00% to +1.00%, paired), at most 0.5%; it was 3.0000 and 3.0000" in loss
    said = page(before, after)
    assert "what this trainer has learned" not in said, "it is not timed"
    assert loss in said


SETTINGS = {"conversations": "10", "max_length": "1024", "row": "1280", "precision": "FP32"}


def report(**changes: Any) -> Report:
    whole: dict[str, Any] = {
        "versions": dict.fromkeys(
            ("torch", "transformers", "peft", "trl", "processor", "cores", "commit"), "1"
        ),
        "settings": SETTINGS,
        "products": [4.0],
        "runs": {"ours": [measured("ours", 10, 1 << 30)]},
    }
    return Report(**whole | changes)


def test_a_measurement_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    file = tmp_path / "trainer.json"
    report().write(file)
    found = begun(file, report(runs={}, products=[]))
    assert [run.seconds for run in found.runs["ours"]] == [10]
    assert found.products == [4.0]


@pytest.mark.parametrize(
    "changes",
    [{"settings": SETTINGS | {"row": "2048"}}, {"versions": {"commit": "1", "torch": "2"}}],
)
def test_a_measurement_of_something_else_begins_anew(
    changes: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / "trainer.json"
    report().write(file)
    assert begun(file, report(runs={}, products=[], **changes)).runs == {}


def test_the_page_tells_how_it_was_measured() -> None:
    said = page(report())
    assert "The data are 10 real conversations" in said
    (ours,) = (line for line in said.splitlines() if line.startswith("| this trainer | 1.000"))
    assert "| 1.00 × | 40% | 1.00 GiB |" in ours
    assert ours.endswith("| 2.000 | 1 |"), "the last column is of rounds"


def test_the_pages_are_of_these_measurements() -> None:
    in_fp32, in_bf16 = (
        Report.model_validate_json((DOCS / f"data/{name}.json").read_bytes())
        for name in ("trainer", "trainer-bf16")
    )
    assert (DOCS / "speed.md").read_text(encoding="utf-8") == page(in_fp32, in_bf16)
    steps = json.loads((DOCS / "data/methods.json").read_bytes())
    assert (DOCS / "dora.md").read_text(encoding="utf-8") == steps_page(steps)
