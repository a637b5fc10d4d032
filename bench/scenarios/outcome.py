"""What a finished run has left, as numbers."""

import json
import math
import struct
from pathlib import Path
from typing import Any

import numpy as np

from bench.scenarios import baselines
from bench.scenarios.gains import gain
from bench.scenarios.job import Inputs
from bench.scenarios.table import Scenario
from finetune_trainer.manifest import CompletionManifest
from finetune_trainer.report.metrics_log import MetricsLog
from finetune_trainer.report.scores import ScoresFile
from finetune_trainer.workspace import Workspace


def quality(scenario: Scenario, inputs: Inputs, workspace: Workspace) -> dict[str, Any]:
    """Metrics before and after, and what the scenario's own gained against each other way.

    The members of Result that are about quality; empty where nothing was held out.
    """
    manifest = CompletionManifest.model_validate_json(workspace.completion.read_bytes())
    evaluation = manifest.evaluation
    if evaluation is None:
        return {"metrics": {}, "held_out": 0, "gains": {}, "baselines": {}}
    scores = ScoresFile.model_validate_json(workspace.evaluation.read_bytes())
    both = scores.metrics[scenario.metric]
    rows = np.array(both.tuned.rows)
    others = {"base": np.array(both.base.rows)}
    found = baselines.measured(scenario, inputs)
    others |= {name: each.rows for name, each in found.items()}
    return {
        "metrics": {
            name: (float(evaluation.base[name]), float(evaluation.tuned[name]))
            for name in evaluation.base
        },
        "held_out": len(rows),
        "gains": {name: gain(scenario.metric, rows, other) for name, other in others.items()},
        "baselines": {name: each.value for name, each in found.items()},
    }


def trained_parameters(workspace: Workspace) -> int:
    """Numbers in what was written: an adapter with its head, or a whole model."""
    return sum(_numbers(path) for path in workspace.output.glob("*/*.safetensors"))


def losses(workspace: Workspace) -> list[float]:
    """Of each step."""
    points = MetricsLog(workspace.metrics).read()
    return [each.loss for each in points if each.loss is not None]


def _numbers(path: Path) -> int:
    """From the file's header: eight bytes of length, then JSON with the shape of each tensor."""
    with path.open("rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        header: dict[str, dict[str, Any]] = json.loads(file.read(size))
    return sum(math.prod(each["shape"]) for each in header.values() if "shape" in each)
