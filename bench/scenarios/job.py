"""An example's job.yaml with another method, seed and place of its inputs. Pure."""

from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.scenarios.table import COLUMNS, Run, Scenario

_MEMBERS = ("lora", "dora", "ia3", "vera", "promptTuning")


@dataclass(frozen=True)
class Inputs:
    """Where the model and the data of a scenario lie."""

    model: Path
    data: Path

    @property
    def train(self) -> Path:
        return self.data / "train.jsonl"

    @property
    def validation(self) -> Path:
        return self.data / "validation.jsonl"

    @property
    def files(self) -> tuple[Path, Path]:
        """What is learned from, and what is held out."""
        return self.train, self.validation


def changed(job: dict[str, Any], scenario: Scenario, run: Run, inputs: Inputs) -> dict[str, Any]:
    """The manifest of a run.

    A method of low rank takes over the rank that the example gives to LoRA, so that columns differ
    in the method alone.
    """
    made = deepcopy(job)
    spec = made["spec"]
    column = COLUMNS[run.column]
    given = spec["method"]
    low_rank: dict[str, Any] = next((given[each] for each in _MEMBERS if each in given), {})
    member = column["method"]["type"].lower()
    spec["method"] = dict(column["method"])
    if member in ("lora", "dora"):
        spec["method"][member] = low_rank
    spec["quantization"] = column.get("quantization", {"type": "None"})
    spec["model"] = {"storageUri": f"file://{inputs.model}"}
    spec["dataset"]["train"] = [{"storageUri": f"file://{inputs.train}"}]
    spec["dataset"]["validation"] = [{"storageUri": f"file://{inputs.validation}"}]
    training = spec["training"]
    training["seed"] = run.seed
    if rate := scenario.rates.get(run.column):
        training["learningRate"] = rate
    if steps := run.steps or scenario.steps:
        training["maxSteps"] = steps
    if run.precision:
        training["precision"] = run.precision
    if run.tokens:
        # At least a sequence for each process, and as many for one as for another.
        training["maxLength"] = min(run.tokens // run.processes, training["maxLength"])
        shared = training["maxLength"] * run.processes
        training["tokensPerBatch"] = run.tokens // shared * shared
    # What the page tells, and nothing that takes its own time: no answers to read, no general loss.
    evaluation = spec.setdefault("evaluation", {})
    evaluation.setdefault("metrics", [scenario.metric.value])
    evaluation["shownExamples"] = 0
    # What is published, kept and cleaned up in a cluster has no meaning here.
    for name in ("publish", "cleanupAfterSeconds"):
        spec.pop(name, None)
    return made
