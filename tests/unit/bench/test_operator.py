"""The figures of the operator, and the page that is made of them."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
from bench.operator.page import page
from bench.operator.record import Request
from bench.operator.table import JUSTIFIED, lines, missed, tables

DOCS = Path(__file__).parents[3] / "docs"
REPORT = json.loads((DOCS / "data" / "operator.json").read_text(encoding="utf-8"))


def test_the_page_is_of_these_measurements() -> None:
    assert (DOCS / "scale.md").read_text(encoding="utf-8") == page(REPORT)


def test_every_request_on_the_way_to_the_first_job_has_a_reason() -> None:
    assert {(verb, resource) for verb, resource, _ in REPORT["requests"]} <= JUSTIFIED.keys()


def test_a_bound_that_is_missed_is_counted_and_seen() -> None:
    report = copy.deepcopy(REPORT)
    before = missed(report)
    report["restart"]["writes"] = 7
    assert missed(report) == before + (REPORT["restart"]["writes"] == 0)
    assert any("**7**" in line for line in tables(report))


def test_what_was_not_measured_is_left_out() -> None:
    assert list(lines({"versions": {}})) == []


@pytest.mark.parametrize(
    ("verb", "uri", "expected"),
    [
        ("create", "/x", ("POST", "application/json")),
        ("patch", "/x?force=true", ("PATCH", "application/apply-patch+yaml")),
        ("patch", "/x", ("PATCH", "application/merge-patch+json")),
        ("list", "/x", ("GET", "application/json")),
    ],
)
def test_a_request_is_sent_again_as_it_was(verb: str, uri: str, expected: tuple[str, str]) -> None:
    request = Request(verb, "jobs", uri, None, 200)
    assert (request.method, request.content_type) == expected
