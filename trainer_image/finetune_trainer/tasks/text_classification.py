"""TextClassification: of which class a text is, or a pair of texts; or of which classes, if any."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from finetune_trainer.data.encoded import EncodedText
from finetune_trainer.data.formats import Record
from finetune_trainer.errors import DataError
from finetune_trainer.manifest import Part
from finetune_trainer.recipe import ClassWeights, Recipe
from finetune_trainer.tasks.padded import (
    PaddedEncoder,
    PaddedTask,
    Texts,
    classes,
)

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Classes:
    """What can be said of a text."""

    names: tuple[str, ...]
    several: bool
    """Whether a text may be of several classes, or of none."""
    weights: NDArray[np.float32]
    """(classes,): of a text of that class or, where it may be of several, of being of it."""


@dataclass(frozen=True)
class ClassifiedText(EncodedText):
    """A text, and its classes."""

    of: Classes
    classes: NDArray[np.float32]
    """(classes,): 1 for those that it is of."""

    @property
    def targets(self) -> int:
        return 1

    @property
    def weight(self) -> float:
        return 1.0 if self.of.several else float(self.of.weights @ self.classes)

    @property
    def content(self) -> bytes:
        return self.ids.tobytes() + self.classes.tobytes()


class TextClassificationTask(PaddedTask):
    """A list of labels in every line: a text may be of several classes, and each is learned for
    itself. Otherwise the classes exclude each other."""

    example = ClassifiedText

    def prepare(
        self,
        tokenizer: "PreTrainedTokenizerBase",
        recipe: Recipe,
        records: Iterable[Record],
    ) -> PaddedEncoder[ClassifiedText]:
        texts = Texts(tokenizer)
        of = classes_of(records, recipe.training.class_weights)
        numbers = {name: number for number, name in enumerate(of.names)}

        def encode(record: Record) -> list[ClassifiedText]:
            values = record.columns
            made = np.zeros(len(of.names), dtype=np.float32)
            for label in _labels(record, several=of.several):
                if label not in numbers:
                    raise DataError(f"the label {label!r} is nowhere in dataset.train")
                made[numbers[label]] = 1
            pair = [values.text_pair] if values.text_pair else []
            texts.refuse_filler(values.text, *pair)
            encoded = texts.encode(values.text, *pair)
            return [
                ClassifiedText(
                    encoded.ids, encoded.segments, encoded.closing, texts.pad, of=of, classes=made
                )
            ]

        kind = "multi_label_classification" if of.several else "single_label_classification"
        settings = {**classes(of.names), "problem_type": kind, "pad_token_id": texts.pad}
        return PaddedEncoder(encode, settings)

    def show(self, tokenizer: "PreTrainedTokenizerBase", example: ClassifiedText) -> list[Part]:
        """The text, and its classes after it."""
        said = [name for name, is_ in zip(example.of.names, example.classes, strict=True) if is_]
        return [
            Part(text=str(tokenizer.decode(example.ids.tolist())) + " → ", learned=False),
            Part(text=", ".join(said) or "no class", learned=True),
        ]


def classes_of(records: Iterable[Record], weighing: ClassWeights) -> Classes:
    """The labels that are found, numbers by size and then texts by the alphabet.

    Balanced: each class weighs as much as any other in all, whatever its number of texts; where a
    text may be of several, being of a class weighs as much as not being of it.

    Raises:
        DataError: lists and single labels are mixed, or there is but one class.
    """
    several = isinstance(next(iter(records)).columns.label, tuple)
    counts: Counter[str] = Counter()
    total = np.float32(0)
    for each in records:
        counts.update(_labels(each, several=several))
        total += 1
    numbered = all(name.isdecimal() for name in counts)
    names = sorted(counts, key=int if numbered else str)
    least = 1 if several else 2
    if len(names) < least:
        raise DataError(
            f"dataset.train has {len(names)} class(es) ({', '.join(names)}), and {least} are needed"
            " to learn from"
        )
    found = np.array([counts[name] for name in names], dtype=np.float32)
    weights = np.ones_like(found)
    if weighing is ClassWeights.BALANCED:
        weights = np.maximum(total - found, 1) / found if several else total / len(names) / found
    return Classes(tuple(names), several, weights.astype(np.float32))


def _labels(record: Record, *, several: bool) -> tuple[str, ...]:
    label = record.columns.label
    if isinstance(label, tuple) != several:
        raise DataError(
            "a label is a list in some lines and none in others: give a list in every line where a"
            " text may be of several classes, and in none otherwise"
        )
    return label if isinstance(label, tuple) else (label,)
