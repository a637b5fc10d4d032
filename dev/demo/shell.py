"""Programs that the demo starts, and how their failure is told."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
DEVCLUSTER = str(ROOT / "dev/cluster/devcluster")
IMAGES = ROOT / "build/images.json"
OPERATOR_NAMESPACE = "finetune-system"
CALL_SECONDS = 60

Object = dict[str, Any]


class DemoError(Exception):
    """The demo cannot go on; the message says why, and where to look."""


def make(target: str) -> None:
    """Runs a make target, which shows its own progress."""
    if subprocess.run(["make", "--no-print-directory", target], cwd=ROOT, check=False).returncode:
        raise DemoError(f"make {target} failed; its last lines above say why")


def inside(*command: str) -> list[str]:
    """The command as it is run inside the cluster's network."""
    return [DEVCLUSTER, "exec", "--", *command]


def run(*command: str, stdin: str | None = None, seconds: float = CALL_SECONDS) -> str:
    """Standard output of a program run inside the cluster's network."""
    try:
        ended = subprocess.run(
            inside(*command),
            cwd=ROOT,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise DemoError(f"{' '.join(command)}: no answer within {seconds:.0f} s") from error
    if ended.returncode:
        raise DemoError(f"{' '.join(command)}: {ended.stderr.strip() or ended.stdout.strip()}")
    return ended.stdout


class Kubectl:
    """kubectl in one namespace."""

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace

    def __call__(self, *arguments: str, stdin: str | None = None) -> str:
        return run("kubectl", "--namespace", self.namespace, *arguments, stdin=stdin)

    def get(self, resource: str, name: str) -> Object | None:
        """The object, or None when there is none."""
        text = self("get", resource, name, "--ignore-not-found", "-o", "json")
        return json.loads(text) if text.strip() else None

    def apply(self, *manifests: Object) -> None:
        items = {"apiVersion": "v1", "kind": "List", "items": list(manifests)}
        self("apply", "--filename", "-", stdin=json.dumps(items))

    def follow(self, resource: str, name: str) -> subprocess.Popen[str]:
        """A running watch of one object; `objects` reads what it prints."""
        command = ["kubectl", "--namespace", self.namespace, "get", resource, "--watch"]
        only = ["--field-selector", f"metadata.name={name}", "--output", "json"]
        return subprocess.Popen(
            inside(*command, *only),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )


def objects(watch: subprocess.Popen[str]) -> Iterator[Object]:
    """The states that a watch prints: indented JSON, of which only the last line is a brace."""
    assert watch.stdout is not None
    lines: list[str] = []
    for line in watch.stdout:
        lines.append(line)
        if line.rstrip() == "}":
            yield json.loads("".join(lines))
            lines.clear()
