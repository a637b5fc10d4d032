"""The whole dataset of a recipe, ready to train on."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from finetune_trainer.combinations import refusals, values_of
from finetune_trainer.data.examples import Example, Examples, limit
from finetune_trainer.data.formats import formats_for
from finetune_trainer.data.leakage import find_leaks
from finetune_trainer.data.mixing import Mixture
from finetune_trainer.data.read import Located, combined_digest, find_files, read_files
from finetune_trainer.errors import DataError
from finetune_trainer.manifest import Leaks
from finetune_trainer.recipe import DatasetFormat, Recipe, Source
from finetune_trainer.rules import TASK_FORMATS, format_refused
from finetune_trainer.tasks import TASKS, Encoder
from finetune_trainer.workspace import Workspace, locate

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


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
    recipe: Recipe, workspace: Workspace, tokenizer: "PreTrainedTokenizerBase"
) -> Dataset:
    """Read, split and tokenize. The task may complete the tokenizer.

    Raises:
        DataError, ConfigurationError: see data/read.py and tasks/.
    """
    train, found, digests = _read(recipe, workspace, "train", recipe.dataset.train)
    if found not in TASK_FORMATS[recipe.task]:
        raise DataError(format_refused(recipe.task, found))
    as_found = recipe.dataset.model_copy(update={"format": found})
    if refused := list(refusals(values_of(recipe.model_copy(update={"dataset": as_found})))):
        raise DataError("; ".join(refused))
    if recipe.dataset.validation:
        validation, _, more = _read(recipe, workspace, "validation", recipe.dataset.validation)
        digests += more
    else:
        train, validation = split(train, recipe.dataset.validation_fraction, recipe.training.seed)
    if recipe.dataset.chat_template:
        tokenizer.chat_template = recipe.dataset.chat_template
    encode = TASKS[recipe.task].prepare(tokenizer, recipe, [each.record for each in train])
    max_length = recipe.training.max_length
    learned = _encode(train, encode, max_length, "dataset.train")
    return Dataset(
        train=learned,
        validation=_encode(validation, encode, max_length, "the validation data")
        if validation
        else None,
        format=found,
        digest=combined_digest(digests),
        settings=encode.settings,
        leaks=find_leaks(train, validation),
        mixture=_mixture(recipe, learned),
        tokenizer=tokenizer,
    )


def split(
    records: Sequence[Located], fraction: float, seed: int
) -> tuple[list[Located], list[Located]]:
    """Hold out a share of the records, chosen by seed and content, whatever their order.

    Equal records stay on one side, so that nothing measured was learned.

    Raises:
        DataError: a side would be empty.
    """
    if not fraction:
        return list(records), []
    keys = [hashlib.sha256(f"{seed}\0{item.record}".encode()).digest() for item in records]
    wanted = max(1, round(len(records) * fraction))
    threshold = sorted(keys)[wanted - 1]
    held_out = [item for item, key in zip(records, keys, strict=True) if key <= threshold]
    kept = [item for item, key in zip(records, keys, strict=True) if key > threshold]
    if not kept:
        raise DataError(
            f"dataset.validationFraction {fraction} of {len(records)} examples leaves none to "
            "learn from: give more examples or set it lower"
        )
    return kept, held_out


def _read(
    recipe: Recipe, workspace: Workspace, role: str, sources: Sequence[Source]
) -> tuple[list[Located], DatasetFormat, list[tuple[str, str]]]:
    records: list[Located] = []
    digests: list[tuple[str, str]] = []
    wanted = recipe.dataset.wanted_format
    formats = formats_for(recipe.task, recipe.dataset.columns)
    for index, source in enumerate(sources):
        location = locate(workspace.source(role, index), source.storage_uri)
        read = read_files(find_files(location, source.storage_uri), wanted, formats)
        wanted = read.format
        records.extend(replace(each, source=index) for each in read.records)
        digests.append((role, read.digest))
    return records, wanted, digests


def _encode(records: Sequence[Located], encode: Encoder, max_length: int, name: str) -> Examples:
    encoded: list[Example] = []
    sources: list[int] = []
    for item in records:
        try:
            encoded.extend(encode(item.record))
        except DataError as error:
            raise DataError(f"{item.place}: {error}") from error
        sources += [item.source] * (len(encoded) - len(sources))
    examples = limit(encoded, max_length, sources)
    if not examples.examples:
        raise DataError(
            f"every label of {name} is masked: within training.maxLength {max_length} tokens no "
            f"example reaches an answer (the shortest has {min(examples.lengths_before)} tokens); "
            "set maxLength higher"
        )
    return examples


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
