"""What is made of measured exports."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

from bench.exports.page import page

DOCS = Path(__file__).parents[3] / "docs"
REPORT: dict[str, Any] = json.loads((DOCS / "data/exports.json").read_bytes())


def changed(name: str, answers: str, **figures: float) -> list[str]:
    """The page's row of an export that was measured otherwise."""
    report = deepcopy(REPORT)
    (row,) = (each for each in report["exports"] if each["export"] == name)
    row["figures"] |= figures
    row["sameAnswers"] = answers
    (said,) = (line for line in page(report).splitlines() if line.startswith(f"| `{name}`"))
    return [each.strip() for each in said.split("|")]


def test_an_export_in_fp32_that_differs_from_pytorch_is_told_as_such() -> None:
    assert changed("ONNX", "50/50", logitDifference=9e-4)[4:7:2] == ["9.0e-04", "50/50"]
    assert changed("ONNX", "49/50", logitDifference=2e-3)[4:7:2] == ["**2.0e-03**", "**49/50**"]


def test_one_of_eight_bits_may_differ() -> None:
    assert changed("ONNXInt8", "30/50", logitDifference=20.0)[4:7:2] == ["2.0e+01", "30/50"]


def test_the_page_is_of_these_measurements() -> None:
    assert (DOCS / "exports-measured.md").read_text(encoding="utf-8") == page(REPORT)
