"""The whole dataset of a recipe, ready to train on."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from finetune_trainer import tasks
from finetune_trainer.combinations import refusals, values_of
from finetune_trainer.data.encode import encode
from finetune_trainer.data.examples import Examples
from finetune_trainer.data.formats import Record, formats_for
from finetune_trainer.data.leakage import find_leaks
from finetune_trainer.data.mixing import Mixture
from finetune_trainer.data.prepared import Facts, Making, Prepared
from finetune_trainer.data.read import (
    Again,
    Located,
    combined_digest,
    digest_of,
    find_files,
    read_files,
)
from finetune_trainer.data.split import split
from finetune_trainer.errors import DataError
from finetune_trainer.manifest import Leaks
from finetune_trainer.recipe import DatasetFormat, Recipe
from finetune_trainer.rules import TASK_FORMATS, format_refused
from finetune_trainer.tasks import TASKS
from finetune_trainer.workspace import Workspace, locate

if TYPE_CHECKING:
    from collections.abc import Iterable

    from transformers import PreTrainedTokenizerBase

TRAIN, VALIDATION = "train", "validation"


@dataclass(frozen=True)
class Dataset:
    """Tokens to learn from and tokens to measure on."""

    train: Examples
    validation: Examples | None
    format: DatasetFormat
    digest: str
    settings: Mapping[str, object]
    """Of the model's configuration, as the task wants it: its classes, for example."""
    leaks: Leaks
    """Held-out examples that are learned too."""
    mixture: Mixture | None
    """What an epoch of `train` holds, where its sources have weights."""
    tokenizer: "PreTrainedTokenizerBase"
    """As the task has completed it."""


def load_dataset(
    recipe: Recipe,
    workspace: Workspace,
    tokenizer: "PreTrainedTokenizerBase",
    *,
    processes: int = 1,
) -> Dataset:
    """Find it in the workspace, or read, split and tokenize it. The task may complete the
    tokenizer.

    Args:
        processes: to tokenize with: see data/encode.py.

    Raises:
        DataError, ConfigurationError: see data/read.py and tasks/.
    """
    files = _find(recipe, workspace)
    digests = [(role, digest_of(paths)) for role, each in files.items() for paths in each]
    digest = combined_digest(digests)
    if recipe.dataset.chat_template:
        tokenizer.chat_template = recipe.dataset.chat_template
    key, prepared = _key(recipe, digest, tokenizer), Prepared(workspace.examples)
    facts = prepared.facts(key)
    if facts is None:
        with prepared.replaced() as making:
            found = _make(making, recipe, files, tokenizer, processes)
            facts = Facts(
                key=key,
                format=found.format,
                settings=dict(found.settings),
                leaks=found.leaks,
                chat_template=tokenizer.chat_template,
                pad_token=tokenizer.pad_token,
            )
            making.finish(facts)
    tokenizer.chat_template, tokenizer.pad_token = facts.chat_template, facts.pad_token
    kind = TASKS[recipe.task].example
    train = prepared.examples(TRAIN, kind)
    if train is None:
        raise FileNotFoundError(f"{workspace.examples} holds nothing to learn from")
    return Dataset(
        train=train,
        validation=prepared.examples(VALIDATION, kind),
        format=facts.format,
        digest=digest,
        settings=facts.configured,
        leaks=facts.leaks,
        mixture=_mixture(recipe, train),
        tokenizer=tokenizer,
    )


_Files = Mapping[str, Sequence[Sequence[Path]]]
"""By role, those of each source."""


def _find(recipe: Recipe, workspace: Workspace) -> _Files:
    sources = {TRAIN: recipe.dataset.train, VALIDATION: recipe.dataset.validation}
    return {
        role: [
            find_files(
                locate(workspace.source(role, index), source.storage_uri), source.storage_uri
            )
            for index, source in enumerate(each)
        ]
        for role, each in sources.items()
    }


@dataclass(frozen=True)
class _Found:
    """Members of Facts."""

    format: DatasetFormat
    settings: Mapping[str, object]
    leaks: Leaks


def _make(
    making: Making,
    recipe: Recipe,
    files: _Files,
    tokenizer: "PreTrainedTokenizerBase",
    processes: int,
) -> _Found:
    train, found = _read(recipe, files[TRAIN], recipe.dataset.wanted_format)
    if found not in TASK_FORMATS[recipe.task]:
        raise DataError(format_refused(recipe.task, found))
    as_found = recipe.dataset.model_copy(update={"format": found})
    if refused := list(refusals(values_of(recipe.model_copy(update={"dataset": as_found})))):
        raise DataError("; ".join(refused))
    if recipe.dataset.validation:
        validation, _ = _read(recipe, files[VALIDATION], found)
    else:
        train, validation = split(train, recipe.dataset.validation_fraction, recipe.training.seed)
    task = TASKS[recipe.task]
    encoder = task.prepare(tokenizer, recipe, _Bare(train))
    most = recipe.training.max_length
    sides = {TRAIN: (train, "dataset.train"), VALIDATION: (validation, "the validation data")}
    for role, (records, name) in sides.items():
        if role == VALIDATION and not any(True for _ in records):
            continue
        left = making.add(role, task.example, encode(records, encoder, most, processes), most)
        if not left.lengths:
            raise DataError(
                f"every label of {name} is masked: within training.maxLength {most} tokens no "
                f"example reaches an answer (the shortest has {min(left.lengths_before)} tokens); "
                "set maxLength higher"
            )
    return _Found(found, encoder.settings, find_leaks(train, list(validation)))


@dataclass(frozen=True)
class _Bare:
    """Records without their places, as often as they are asked for."""

    located: "Iterable[Located]"

    def __iter__(self) -> Iterator[Record]:
        return (each.record for each in self.located)


def _read(
    recipe: Recipe, files: Sequence[Sequence[Path]], wanted: DatasetFormat
) -> "tuple[Iterable[Located], DatasetFormat]":
    """The records of all sources."""
    formats = formats_for(recipe.task, recipe.dataset.columns)
    every = []
    for paths in files:
        read = read_files(paths, wanted, formats)
        wanted = read.format
        every.append(read.records)

    def records() -> Iterator[Located]:
        for index, each in enumerate(every):
            yield from (replace(item, source=index) for item in each)

    kept = all(isinstance(each, list) for each in every)
    return list(records()) if kept else Again(records), wanted


def _key(recipe: Recipe, digest: str, tokenizer: "PreTrainedTokenizerBase") -> str:
    """Of all that decides what examples are made."""
    training = recipe.training
    whole = [
        recipe.task,
        recipe.dataset.model_dump(mode="json"),
        recipe.preference and recipe.preference.loss,
        recipe.translation and recipe.translation.model_dump(mode="json"),
        [training.max_length, training.seed, training.class_weights],
        digest,
        _tokenizer_digest(tokenizer),
        _code(),
    ]
    return hashlib.sha256(json.dumps(whole).encode()).hexdigest()


def _tokenizer_digest(tokenizer: "PreTrainedTokenizerBase") -> str:
    backend = tokenizer.backend_tokenizer.to_str() if tokenizer.is_fast else tokenizer.get_vocab()
    whole = [backend, tokenizer.chat_template, tokenizer.special_tokens_map]
    return hashlib.sha256(json.dumps(whole, default=str).encode()).hexdigest()


@cache
def _code() -> str:
    """Of what reads and tokenizes: a new version may do it otherwise."""
    folders = (Path(__file__).parent, Path(tasks.__file__).parent)
    files = sorted(path for folder in folders for path in folder.rglob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


def _mixture(recipe: Recipe, examples: Examples) -> Mixture | None:
    weights = [each.weight for each in recipe.dataset.train if each.weight is not None]
    if not weights:
        return None
    present = set(examples.sources)
    for index, source in enumerate(recipe.dataset.train):
        if index not in present:
            raise DataError(
                f"dataset.train[{index}] ({source.storage_uri}) has a weight, but no example is"
                " left of it: give it more examples, set training.maxLength higher or remove it"
            )
    return Mixture(examples.sources, weights)
