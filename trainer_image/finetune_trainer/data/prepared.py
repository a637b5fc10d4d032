"""A dataset in the workspace: made once, and mapped by every process of every attempt."""

import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load, save

from finetune_trainer.data import store
from finetune_trainer.data.encode import Made
from finetune_trainer.data.examples import Example, Examples
from finetune_trainer.frozen import Frozen
from finetune_trainer.manifest import Leaks
from finetune_trainer.recipe import DatasetFormat
from finetune_trainer.workspace import sync_directory, sync_tree

_FACTS, _NUMBERS = "dataset.json", "numbers.safetensors"
_TOLD_APART = 8
"""Bytes of a digest that tell millions of examples apart."""
_LABELS = "id2label"
"""A setting whose keys are numbers, which JSON has not."""


class Facts(Frozen):
    """What is known of a dataset beside its examples."""

    key: str
    """Another one for what may give other examples."""
    format: DatasetFormat
    settings: dict[str, Any]
    """Of the model's configuration, as the task wants it."""
    leaks: Leaks
    chat_template: str | None
    """Of the tokenizer, as the task has completed it."""
    pad_token: str | None

    @property
    def configured(self) -> Mapping[str, object]:
        """The settings, as transformers has them."""
        if _LABELS not in self.settings:
            return self.settings
        labels = {int(number): name for number, name in self.settings[_LABELS].items()}
        return self.settings | {_LABELS: labels}


class Prepared:
    """A folder that holds a dataset, or is to hold one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def facts(self, key: str) -> Facts | None:
        """None where the folder holds no dataset, or another one."""
        try:
            found = Facts.model_validate_json((self._folder / _FACTS).read_bytes())
        except (FileNotFoundError, ValueError):
            return None
        return found if found.key == key else None

    def examples(self, role: str, kind: type[Example]) -> Examples | None:
        """Those to learn from (`train`) or to measure on; None where nothing is held out."""
        folder = self._folder / role
        if not folder.exists():
            return None
        content = (folder / _NUMBERS).read_bytes()
        numbers = {name: each.tolist() for name, each in load(content).items()}
        return Examples(
            examples=store.StoredExamples(folder, kind),
            lengths=numbers["lengths"],
            weights=numbers["weights"],
            sources=numbers["sources"],
            targets=numbers["targets"],
            duplicates=numbers["duplicates"],
            lengths_before=numbers["lengths_before"],
            truncated=numbers["truncated"],
            dropped=numbers["dropped"],
        )

    @contextmanager
    def replaced(self) -> Iterator["Making"]:
        """The folder that takes its place, unless an exception is raised."""
        self._folder.parent.mkdir(parents=True, exist_ok=True)
        making = self._folder.with_name(f".{self._folder.name}.{os.getpid()}")
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir()
        try:
            yield Making(making)
            sync_tree(making)
            shutil.rmtree(self._folder, ignore_errors=True)
            making.rename(self._folder)
            sync_directory(self._folder.parent)
        finally:
            shutil.rmtree(making, ignore_errors=True)


class Making:
    """A dataset that is not complete yet."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(
        self, role: str, kind: type[Example], made: Iterable[Made], max_length: int
    ) -> "Numbers":
        """Write one side."""
        folder = self._folder / role
        folder.mkdir()
        numbers = Numbers()
        store.write(folder, kind, numbers.of(made, max_length))
        (folder / _NUMBERS).write_bytes(save(numbers.arrays()))
        return numbers

    def finish(self, facts: Facts) -> None:
        """Nothing is added any more."""
        (self._folder / _FACTS).write_bytes(facts.model_dump_json().encode())


@dataclass
class Numbers:
    """What is known of each example without reading it, and of all: members of Examples."""

    lengths: list[int] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)
    sources: list[int] = field(default_factory=list)
    targets: int = 0
    duplicates: int = 0
    lengths_before: list[int] = field(default_factory=list)
    truncated: int = 0
    dropped: int = 0

    def of(self, made: Iterable[Made], max_length: int) -> Iterator[Example]:
        """Those that are left, counted."""
        seen: set[bytes] = set()
        for each in made:
            self.lengths_before.append(each.length_before)
            self.truncated += each.length_before > max_length
            if each.example is None:
                self.dropped += 1
                continue
            self.lengths.append(each.example.length)
            self.weights.append(each.example.weight)
            self.sources.append(each.source)
            self.targets += each.example.targets
            content = hashlib.sha256(each.example.content).digest()[:_TOLD_APART]
            self.duplicates += content in seen
            seen.add(content)
            yield each.example

    def arrays(self) -> dict[str, NDArray[Any]]:
        """By name."""
        return {
            name: np.array(each, dtype=np.float64 if name == "weights" else np.int64)
            for name, each in vars(self).items()
        }
