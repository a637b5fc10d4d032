"""The dashboard's queries, put to Prometheus' engine over what an operator really exports."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from finetune_operator.domain.telling import Told
from finetune_operator.runtime import job_metrics
from tests.unit.chart.conftest import DASHBOARD, RULES, Object, Promtool, Render, only
from tests.unit.domain.in_memory import CLASS
from tests.unit.runtime.in_memory_api import (
    InMemoryApi,
    at_work,
    gpu_job,
    to_the_end,
    to_training,
)
from tests.unit.runtime.scraper import Samples, Scraper, scraping

CONTENT: dict[str, Any] = json.loads(DASHBOARD.read_text())
PANELS: list[dict[str, Any]] = [each for each in CONTENT["panels"] if each["type"] != "row"]
OURS = re.compile(r"\b(?:finetune|controller_runtime|workqueue|rest_client)_\w+")
OF_GRAFANA = {
    "$namespace": ".*",
    "$job": "finetune-operator",
    "$__rate_interval": "5m",
    "$__range": "1h",
}
"""What Grafana puts in for its variables."""
NEEDS_A_TRAINER = "Progress posted in a second"
"""No trainer posts here."""


@pytest.fixture
def scraper() -> Iterator[Scraper]:
    with scraping() as made:
        yield made


def queries() -> list[tuple[str, str]]:
    """(panel, PromQL)."""
    found = []
    for panel in PANELS:
        for target in panel["targets"]:
            query = target["expr"]
            for name, value in OF_GRAFANA.items():
                query = query.replace(name, value)
            found.append((panel["title"], query))
    return found


def test_grafana_finds_what_it_needs() -> None:
    ids = [each["id"] for each in CONTENT["panels"]]
    assert len(set(ids)) == len(ids)
    assert [each["name"] for each in CONTENT["templating"]["list"]] == [
        "datasource",
        "namespace",
        "job",
    ]
    assert {each["datasource"]["uid"] for each in PANELS} == {"${datasource}"}
    assert all("$" not in query for _, query in queries()), "a variable that nothing sets"


def test_panels_do_not_cover_each_other() -> None:
    cells = [
        (panel["gridPos"]["x"] + x, panel["gridPos"]["y"] + y)
        for panel in CONTENT["panels"]
        for x, y in itertools.product(range(panel["gridPos"]["w"]), range(panel["gridPos"]["h"]))
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24


async def test_every_metric_that_is_asked_for_is_exported(scraper: Scraper) -> None:
    async with at_work(InMemoryApi(gpu_job())):
        text = scraper.text()
    kinds = dict(re.findall(r"^# TYPE (\S+) (\w+)$", text, re.MULTILINE))
    exported = set(kinds)
    for name, kind in kinds.items():
        if kind == "histogram":
            exported |= {f"{name}_{part}" for part in ("bucket", "sum", "count")}
    alerts = [rule["expr"] for group in _groups() for rule in group["rules"]]
    asked = {
        name
        for text in (*alerts, *(query for _, query in queries()))
        for name in OURS.findall(text)
    }
    assert asked
    assert asked <= exported, asked - exported


async def test_names_and_units_are_as_prometheus_wants_them(
    scraper: Scraper, promtool: Promtool
) -> None:
    async with at_work(InMemoryApi(gpu_job())) as operator:
        await operator.settle()
        text = scraper.text()
    ended = promtool("check", "metrics", stdin=text)
    assert (ended.returncode, ended.stdout + ended.stderr) == (0, "")


async def _of_two_lives(scraper: Scraper) -> Samples:
    """Of a job that ends well, and of one that nothing spares, at the moments that matter."""
    good, bad = InMemoryApi(gpu_job()), InMemoryApi(gpu_job(restarts={"limit": 1}))
    async with at_work(good) as operator:
        pod = await to_training(operator, good)
        seen = scraper.samples()
        await to_the_end(operator, good, pod)
        seen |= scraper.samples()
    bad.finetune_class = None
    async with at_work(bad) as operator:
        await operator.settle()
        seen |= scraper.samples()
        bad.finetune_class = CLASS
        bad.end(await to_training(operator, bad), 1, "an error")
        await operator.settle()
        seen |= scraper.samples()
        bad.now += timedelta(seconds=10)
        await operator.settle()
        bad.make_pods()
        bad.end(bad.pods()[0], 1, "an error")
        await operator.settle()
        seen |= scraper.samples()
    # The jobs above run on nodes that are there; of one that nodes were got for:
    job_metrics.count(good.job, Told(spent=Decimal("3.67"), idle=Decimal("0.41")), "USD")
    return seen | scraper.samples()


async def test_every_panel_shows_something(
    scraper: Scraper, promtool: Promtool, tmp_path: Path
) -> None:
    series = await _of_two_lives(scraper)
    cases = [
        {
            "expr": f"count({query}) > bool 0",
            "eval_time": "1h",
            "exp_samples": [{"labels": "{}", "value": 1}],
        }
        for title, query in queries()
        if title != NEEDS_A_TRAINER
    ]
    given = [
        {"series": _written(name, dict(labels)), "values": f"{value:g}+1x60"}
        for (name, labels), value in series.items()
        if OURS.match(name)
    ]
    test = {"interval": "1m", "input_series": given, "promql_expr_test": cases}
    file = tmp_path / "dashboard.yaml"
    file.write_text(yaml.safe_dump({"evaluation_interval": "1m", "tests": [test]}))
    ended = promtool("test", "rules", file)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_prometheus_takes_every_query(promtool: Promtool, tmp_path: Path) -> None:
    rules = [{"record": f"panel:{n}", "expr": query} for n, (_, query) in enumerate(queries())]
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    ended = promtool("check", "rules", file)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_the_chart_hands_it_to_the_sidecar(render: Render, objects: list[Object]) -> None:
    assert "ConfigMap" not in {item["kind"] for item in objects}
    made = only(render({"dashboard": {"enabled": True}}), "ConfigMap")
    assert made["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(made["data"]["finetune-operator.json"]) == CONTENT


def _groups() -> list[dict[str, Any]]:
    groups: list[dict[str, Any]] = yaml.safe_load(RULES.read_text())["groups"]
    return groups


def _written(name: str, labels: dict[str, str]) -> str:
    """With the label that Prometheus adds as it reads."""
    labels = labels | {"job": "finetune-operator"}
    inside = ", ".join(f"{label}={json.dumps(value)}" for label, value in labels.items())
    return f"{name}{{{inside}}}"
