"""What Argo CD and Flux make of objects, and what kustomize makes of the example's folders."""

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
EXAMPLE = ROOT / "examples/gitops"
SCRIPTS = EXAMPLE / "argo-cd/health"
DEVCLUSTER = ROOT / "dev/cluster/devcluster"

Object = dict[str, Any]
Judge = Callable[[list[Object]], list[dict[str, dict[str, str]]]]


def judged(program: Path, scripts: dict[str, str], objects: list[Object]) -> Any:
    """The verdicts of the two on each object; None where a script fails, and then why."""
    question = json.dumps({"scripts": scripts, "objects": objects})
    ended = subprocess.run(
        [program], input=question, capture_output=True, text=True, check=False, timeout=60
    )
    return (json.loads(ended.stdout), "") if ended.returncode == 0 else (None, ended.stderr)


@pytest.fixture(scope="session")
def judges() -> Path:
    """Argo CD's interpreter and Flux's kstatus, in a program."""
    built = subprocess.run(
        [sys.executable, DEVCLUSTER, "build", "health"], capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stderr
    return Path(built.stdout.strip())


@pytest.fixture(scope="session")
def judge(judges: Path) -> Judge:
    """Judges by the scripts that users are given."""
    (settings,) = kustomized(SCRIPTS)
    prefix = "resource.customizations.health."
    scripts = {
        key.removeprefix(prefix).partition("_")[2]: script
        for key, script in settings["data"].items()
    }

    def verdicts(objects: list[Object]) -> list[dict[str, dict[str, str]]]:
        found: list[dict[str, dict[str, str]]]
        found, why = judged(judges, scripts, objects)
        assert found is not None, why
        return found

    return verdicts


def kustomized(folder: Path) -> list[Object]:
    """The objects of a folder, by the user's kubectl or the development cluster's."""
    own = shutil.which("kubectl")
    command = [own] if own else [sys.executable, str(DEVCLUSTER), "tool", "kubectl"]
    ended = subprocess.run(
        [*command, "kustomize", str(folder)], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return list(yaml.safe_load_all(ended.stdout))
