"""Rendering the chart as `helm template` does."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
CHART = ROOT / "charts/finetune-operator"
NAMESPACE = "finetune-system"
OPERATOR = f"registry.example.com/operator@sha256:{'a' * 64}"
TRAINER = f"registry.example.com/trainer@sha256:{'b' * 64}"

Object = dict[str, Any]
Values = dict[str, Any]
Render = Callable[..., list[Object]]


def helm() -> str:
    """The user's helm, or the one that the development cluster is built with."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    built = sorted(
        cache.glob("finetune-operator/bin/**/helm"), key=lambda path: path.stat().st_mtime
    )
    found = shutil.which("helm") or (str(built[-1]) if built else None)
    assert found, "helm is not installed: `make cluster-up` builds it, or install Helm"
    return found


def template(values: Values, *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [helm(), "template", "finetune-operator", str(CHART), "--namespace", NAMESPACE,
         "--values", "-", *more],
        input=json.dumps(values), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


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
