"""One training by two launchers, as on two nodes, and how much memory its processes take."""

import json
import os
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from bench.scenarios.watch import Watch
from finetune_trainer.recipe import Recipe


@dataclass(frozen=True)
class Run:
    """What came of it."""

    losses: list[float]
    """Of each step."""
    peak: int
    """Bytes: RssAnon of the process that took most."""


def go(recipe: Recipe, model: Path, root: Path) -> Run:
    """
    Args:
        root: the workspace, with its data.

    Raises:
        RuntimeError: with the log of a launcher that failed.
    """
    (root / "inputs" / "model").symlink_to(model.resolve())
    (root / "recipe.json").write_text(recipe.canonical_json())
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    place = {"PET_MASTER_ADDR": "127.0.0.1", "PET_MASTER_PORT": str(port)}
    metrics = root / "metrics.jsonl"
    with Watch(metrics) as watch:
        nodes = [_launch(root, node, place) for node in range(recipe.compute.nodes)]
        watch.started += [node.pid for node in nodes]
        for number, node in enumerate(nodes):
            if node.wait():
                raise RuntimeError((root / f"node-{number}.log").read_text())
    points = map(json.loads, metrics.read_text().splitlines())
    losses = [point["loss"] for point in points if point.get("loss") is not None]
    return Run(losses, max(watch.peaks.values()))


def _launch(root: Path, node: int, place: dict[str, str]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "finetune_trainer", "train"]
    command += ["--recipe", str(root / "recipe.json"), "--workspace", str(root)]
    own = {"PET_NODE_RANK": str(node), "OMP_NUM_THREADS": "1"}
    own["FINETUNE_TERMINATION_LOG"] = str(root / f"node-{node}.json")
    with (root / f"node-{node}.log").open("wb") as log:
        return subprocess.Popen(command, env=os.environ | place | own, stdout=log, stderr=log)
