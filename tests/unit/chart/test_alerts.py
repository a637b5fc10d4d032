"""Every alert fires when it should and keeps quiet when it should: judged by Prometheus itself."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from finetune_operator.api.reason import Reason
from tests.unit.chart.conftest import ROOT, RULES, Object, Promtool, Render, only

TESTS = Path(__file__).with_name("alerts.yaml")
ALERTS: list[dict[str, Any]] = [
    rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]
]


def test_prometheus_takes_the_rules(promtool: Promtool) -> None:
    ended = promtool("check", "rules", "--lint-fatal", RULES)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert f"{len(ALERTS)} rules found" in ended.stdout


def test_alerts_fire_when_they_should(promtool: Promtool) -> None:
    ended = promtool("test", "rules", TESTS)
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_every_alert_is_tested_both_ways(alert: dict[str, Any]) -> None:
    cases = [
        bool(case.get("exp_alerts"))
        for test in yaml.safe_load(TESTS.read_text())["tests"]
        for case in test["alert_rule_test"]
        if case["alertname"] == alert["alert"]
    ]
    assert set(cases) == {True, False}


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_every_alert_says_where_to_read_on(alert: dict[str, Any]) -> None:
    page, _, anchor = alert["annotations"]["runbook"].partition("#")
    if "{{" in anchor:
        assert page == "docs/troubleshooting.md"
        assert anchor == "{{ $labels.reason | toLower }}"
        assert "by (namespace, reason)" in alert["expr"]
    else:
        headings = re.findall(r"^#+ (.+)$", (ROOT / page).read_text(), re.MULTILINE)
        assert anchor in {heading.lower().replace(" ", "-") for heading in headings}


def test_reasons_that_an_alert_leaves_out_exist() -> None:
    left_out = re.findall(r'reason!~"([^"]+)"', RULES.read_text())
    names = {name for each in left_out for name in each.split("|")}
    assert names
    assert names <= set(Reason)


def test_the_chart_hands_them_over_as_they_are(render: Render, objects: list[Object]) -> None:
    assert "PrometheusRule" not in {item["kind"] for item in objects}
    values = {"prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}}}
    rule = only(render(values), "PrometheusRule")
    assert rule["spec"] == yaml.safe_load(RULES.read_text())
    assert rule["metadata"]["labels"]["release"] == "prometheus"
