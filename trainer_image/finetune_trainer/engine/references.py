"""What the model says of the examples where training starts, computed once and kept.

Kept by content, in the workspace: see Origin. An attempt that was stopped half-way computes the
rest.
"""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from finetune_trainer.data.dataset import Dataset
from finetune_trainer.data.examples import Example, Examples
from finetune_trainer.engine.origin import Origin
from finetune_trainer.evaluate import Judge
from finetune_trainer.metrics import Rows
from finetune_trainer.objectives import ReferencedObjective
from finetune_trainer.workspace import write_durably

log = logging.getLogger(__name__)

PART = 1024
"""Examples of one file: few enough to lose, enough to fill rows."""

_NAME = "log_probabilities"


@dataclass(frozen=True)
class References:
    """What the model at the start says, computed or read."""

    objective: ReferencedObjective
    model: torch.nn.Module
    origin: Origin
    judge: Judge
    folder: Path

    def complete(self, dataset: Dataset) -> Dataset:
        """The dataset, whose examples know it."""
        held_out = self._complete(dataset.validation) if dataset.validation else None
        return replace(dataset, train=self._complete(dataset.train), validation=held_out)

    def _complete(self, examples: Examples) -> Examples:
        found = self._all(examples.examples)
        known = self.objective.with_references(examples.examples, found)
        return replace(examples, examples=known)

    def _all(self, examples: Sequence[Example]) -> Rows:
        identity = self.origin.identity(self.origin.recipe.quantization.type)
        world = self.judge.world
        parts = []
        computed = 0
        for at in range(0, len(examples), PART):
            part = examples[at : at + PART]
            path = self.folder / f"{_digest(identity, part)}.safetensors"
            kept = _read(path, len(part)) if world.leads else None
            if world.maximum([float(kept is not None)])[0]:
                # The others take its word, as the sum of what it has read and of nothing.
                mine = np.zeros((len(part), 2)) if kept is None else kept
                found = np.array(world.sum(mine.ravel().tolist())).reshape(mine.shape)
            else:
                found = self.objective.log_probabilities(self.model, part, self.judge)
                computed += len(part)
                if world.leads:
                    self.folder.mkdir(exist_ok=True)
                    write_durably(path, save({_NAME: found}))
            parts.append(found)
        log.info(
            "log-probabilities at the start: %d of %d examples computed, the others kept from"
            " before",
            computed,
            len(examples),
        )
        return np.concatenate(parts)


def _digest(identity: str, part: Sequence[Any]) -> str:
    digest = hashlib.sha256(identity.encode())
    for example in part:
        digest.update(len(example.content).to_bytes(8))
        digest.update(example.content)
    return digest.hexdigest()


def _read(path: Path, examples: int) -> Rows | None:
    try:
        found: Rows = load_file(path)[_NAME]
    except (OSError, SafetensorError, KeyError):
        return None
    return found if found.shape == (examples, 2) and found.dtype == np.float64 else None
