"""What is kept of a run, and the file in which all of them are kept."""

import json
from collections.abc import Mapping
from pathlib import Path

from finetune_trainer.frozen import Frozen
from finetune_trainer.workspace import write_durably


class Bounds(Frozen):
    """A gain, and between what it lies in 95 of 100 resamplings of the held-out examples."""

    value: float
    low: float
    high: float


class Provenance(Frozen):
    """What a result was measured with."""

    commit: str
    """Ends in `-dirty` where code or examples differed from it."""
    versions: dict[str, str]
    processor: str
    cores: int
    threads: int
    """Of each training process."""
    at_once: int
    """Runs that were measured at the same time."""
    load: float
    """Processes that wanted a core, on average over the last minute of the run: what is above the
    runs' own threads was other work, and made `seconds` longer."""


class Result(Frozen):
    """One run."""

    digest: str
    """Of all that decides it: code, model, data and recipe."""
    data: str
    """sha256 of the data files."""
    provenance: Provenance
    metrics: dict[str, tuple[float, float]]
    """On held-out data, of the base and the tuned model; empty where nothing was held out."""
    held_out: int
    """Examples."""
    gains: dict[str, Bounds]
    """Of the scenario's metric, against `base` and each baseline; above 0 is better."""
    baselines: dict[str, float]
    """The scenario's metric, of each baseline."""
    trained_parameters: int
    peak_bytes: list[int]
    """Highest anonymous resident memory, by rank."""
    estimated_bytes: int | None
    """What `finetune plan` says that each process takes at most; None of short runs."""
    seconds: float
    """From the command to its end."""
    steps: int
    step_seconds: float
    """Of one optimizer step, the first left out."""
    step_cpu_seconds: float
    """Processor time of the same, over all threads and ranks: hardly longer on a busy machine."""
    early_step_seconds: float | None
    """What `step_seconds` was after ten steps; None of runs that have fewer."""
    losses: list[float]
    """Of each step; kept of short runs only."""


class Broken(Frozen):
    """A run that ended with an error."""

    digest: str
    provenance: Provenance
    error: str
    """One line."""


class Results:
    """A JSON file of results by the run's name, written after each."""

    def __init__(self, path: Path) -> None:
        self._path = path
        content = json.loads(path.read_bytes()) if path.exists() else {}
        self._all = {
            name: (Broken if "error" in each else Result).model_validate(each)
            for name, each in content.items()
        }

    @property
    def found(self) -> Mapping[str, Result]:
        """By the name of the run."""
        return {name: each for name, each in self._all.items() if isinstance(each, Result)}

    @property
    def broken(self) -> Mapping[str, Broken]:
        """By the name of the run."""
        return {name: each for name, each in self._all.items() if isinstance(each, Broken)}

    def has(self, name: str, digest: str) -> bool:
        """Whether that run is measured as it would be now."""
        return name in self.found and self.found[name].digest == digest

    def put(self, name: str, result: Result | Broken) -> None:
        self._all[name] = result
        ordered = {each: self._all[each].model_dump(mode="json") for each in sorted(self._all)}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_durably(self._path, json.dumps(ordered, indent=1).encode() + b"\n")
