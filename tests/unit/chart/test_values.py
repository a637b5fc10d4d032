"""values.schema.json, kubeVersion and NOTES.txt."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.chart.conftest import CHART, OPERATOR, TRAINER, helm, template

IMAGES = {"operator": OPERATOR, "trainer": TRAINER}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        pytest.param({"replicaCount": 2}, "replicaCount", id="unknown"),
        pytest.param({"replicas": 0}, "replicas", id="none would work"),
        pytest.param({"class": {"insecure": []}}, "insecure", id="unknown below"),
        pytest.param({"images": {"operator": "operator:latest"}}, "operator", id="not by digest"),
        pytest.param({"logLevel": "verbose"}, "logLevel", id="not a level"),
        pytest.param({"class": {"allowed": {"maxNodes": 65}}}, "maxNodes", id="too many"),
        pytest.param({"tracing": {"endpoint": "http://otel"}}, "endpoint", id="no port"),
        pytest.param({"class": {"allowed": {"maxRunningJobs": 0}}}, "maxRunningJobs", id="none"),
        pytest.param({"network": {"proxy": {"https": "proxy:3128"}}}, "https", id="no scheme"),
        pytest.param({"network": {"proxies": {}}}, "proxies", id="not of a network"),
        pytest.param({"parts": "Class"}, "parts", id="no such part"),
        pytest.param({"watch": {"namespaces": ["team_a"]}}, "namespaces", id="no namespace"),
        pytest.param({"resyncSeconds": "soon"}, "resyncSeconds", id="wrong type"),
    ],
)
def test_a_wrong_value_is_refused_by_its_name(values: dict[str, Any], said: str) -> None:
    ended = template({"images": IMAGES} | values)
    assert ended.returncode != 0
    assert said in ended.stderr


@pytest.mark.parametrize("image", ["operator", "trainer"])
def test_a_missing_image_is_asked_for(image: str) -> None:
    ended = template({"images": IMAGES | {image: ""}})
    assert f"images.{image}: give" in ended.stderr


def test_an_old_cluster_is_refused() -> None:
    ended = template({"images": IMAGES}, "--kube-version", "1.30.0")
    assert "kubeVersion" in ended.stderr


GIVEN = ("--set", f"images.operator={OPERATOR}", "--set", f"images.trainer={TRAINER}")


def test_the_chart_is_clean() -> None:
    ended = helm("lint", "--strict", str(CHART), *GIVEN)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_the_notes_say_what_to_type_next() -> None:
    ended = helm("install", "finetune-operator", str(CHART), "--dry-run=client", *GIVEN)
    assert "kubectl apply -f" in ended.stdout.partition("NOTES:")[2], ended.stderr
