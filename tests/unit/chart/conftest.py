"""Rendering the chart as `helm template` does."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
CHART = ROOT / "charts/finetune-operator"
RULES = CHART / "rules/finetune-operator.yaml"
DASHBOARD = CHART / "dashboards/finetune-operator.json"
DEVCLUSTER = str(ROOT / "dev/cluster/devcluster")
BUILD_SECONDS = 1800
"""Bound of building promtool, the first time and on a busy machine; it takes 90 s of a core."""
NAMESPACE = "finetune-system"
OPERATOR = f"registry.example.com/operator@sha256:{'a' * 64}"
TRAINER = f"registry.example.com/trainer@sha256:{'b' * 64}"

Object = dict[str, Any]
Values = dict[str, Any]
Render = Callable[..., list[Object]]
Promtool = Callable[..., subprocess.CompletedProcess[str]]


def helm(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Runs the user's helm, or the one that the development cluster is built with."""
    own = shutil.which("helm")
    command = [own] if own else [DEVCLUSTER, "tool", "helm"]
    return subprocess.run(
        [*command, *arguments], input=stdin, capture_output=True, text=True, check=False
    )


def template(values: Values, *more: str) -> subprocess.CompletedProcess[str]:
    given = ["--namespace", NAMESPACE, "--values", "-", *more]
    return helm("template", "finetune-operator", str(CHART), *given, stdin=json.dumps(values))


@pytest.fixture(scope="session")
def render() -> Render:
    """The objects that the chart makes of values, over the two images that are required."""

    def rendered(values: Values | None = None, *more: str) -> list[Object]:
        images = {"operator": OPERATOR, "trainer": TRAINER} | (values or {}).get("images", {})
        ended = template((values or {}) | {"images": images}, *more)
        assert ended.returncode == 0, ended.stderr
        return [document for document in yaml.safe_load_all(ended.stdout) if document]

    return rendered


@pytest.fixture(scope="session")
def objects(render: Render) -> list[Object]:
    """What the chart makes by default."""
    return render()


def only(objects: list[Object], kind: str, name: str | None = None) -> Object:
    """The one object of that kind (and name)."""
    (found,) = (
        item
        for item in objects
        if item["kind"] == kind and (name is None or item["metadata"]["name"] == name)
    )
    return found


@pytest.fixture(scope="session")
def promtool() -> Promtool:
    """Prometheus' own checker of rules, built where it is missing."""
    built = subprocess.run(
        [sys.executable, DEVCLUSTER, "build", "promtool"],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=BUILD_SECONDS,
    )
    program = built.stdout.strip()

    def run(*arguments: str | Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [program, *map(str, arguments)],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run
