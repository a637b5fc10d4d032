"""TokenClassification: which entity each word of a sentence is of, named entities for example."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from finetune_trainer.data.encoded import EncodedText
from finetune_trainer.data.formats import Record
from finetune_trainer.data.formats.conll import OUTSIDE
from finetune_trainer.errors import ConfigurationError, DataError
from finetune_trainer.manifest import Part
from finetune_trainer.recipe import Recipe
from finetune_trainer.tasks.padded import (
    PaddedEncoder,
    PaddedTask,
    Texts,
    classes,
)

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


NOT_ASKED = -100
"""In place of a label: torch's cross-entropy leaves such positions out."""


@dataclass(frozen=True)
class TaggedText(EncodedText):
    """A sentence, or as much of one as maxLength holds."""

    labels: NDArray[np.int64]
    """(length,): the tag of a word at its first token, elsewhere NOT_ASKED."""
    names: tuple[str, ...]
    """The tags by label."""

    @property
    def targets(self) -> int:
        return int((self.labels != NOT_ASKED).sum())

    @property
    def weight(self) -> float:
        return self.targets

    def cut(self, length: int) -> "TaggedText":
        return replace(super().cut(length), labels=self.labels[self.kept(length)])


class TokenClassificationTask(PaddedTask):
    """A sentence longer than maxLength is split where no entity is, so that none is lost."""

    example = TaggedText

    def prepare(
        self,
        tokenizer: "PreTrainedTokenizerBase",
        recipe: Recipe,
        records: Iterable[Record],
    ) -> PaddedEncoder[TaggedText]:
        texts, names = Texts(tokenizer), tags_of(records)
        most = recipe.training.max_length

        def encode(record: Record) -> list[TaggedText]:
            words = _Words(texts, record, names)
            return [words.example(*window) for window in words.windows(most)]

        return PaddedEncoder(encode, classes(names))

    def show(self, tokenizer: "PreTrainedTokenizerBase", example: TaggedText) -> list[Part]:
        """Each word as its tokens say it, with its tag after it."""
        starts = [*np.flatnonzero(example.labels != NOT_ASKED).tolist(), example.length]
        parts = [Part(text=_text(tokenizer, example.ids[: starts[0]]), learned=False)]
        for start, end in pairwise(starts):
            parts += [
                Part(text=" " + _text(tokenizer, example.ids[start:end]).strip(), learned=False),
                Part(text="/" + example.names[example.labels[start]], learned=True),
            ]
        return parts


def tags_of(records: Iterable[Record]) -> tuple[str, ...]:
    """O, and B- and I- of every entity that is found, in the order of their names."""
    found = {tag[2:] for record in records for tag in record.tags if tag != OUTSIDE}
    if not found:
        raise DataError(
            f"every word of dataset.train is tagged {OUTSIDE}, so there is no entity to learn"
        )
    return (OUTSIDE, *(f"{kind}-{entity}" for entity in sorted(found) for kind in "BI"))


class _Words:
    """A sentence as tokens, each of which knows its word.

    The tokenizer sees the sentence as people write it, words with a space between, as it will when
    the model is asked.

    Raises:
        DataError: an unknown tag, or a word of an entity that the tokenizer passes over.
    """

    def __init__(self, texts: Texts, record: Record, names: tuple[str, ...]) -> None:
        self._texts, self._record, self._names = texts, record, names
        numbers = {name: number for number, name in enumerate(names)}
        for tag in record.tags:
            if tag not in numbers:
                raise DataError(f"the tag {tag} is nowhere in dataset.train")
        encoded = texts.encode(" ".join(record.words))
        self._encoded = encoded
        said = slice(encoded.opening, encoded.length - encoded.closing)
        ends = np.cumsum([len(word) + 1 for word in record.words])
        # The last character, because the first may be the space before the word.
        last = encoded.offsets[said, 1] - 1
        self._word = np.searchsorted(ends, last, side="right")
        between = np.isin(last, ends - 1)
        first = np.diff(self._word, prepend=-1).astype(np.bool_) & ~between
        labels = np.array([numbers[tag] for tag in record.tags], dtype=np.int64)
        self._labels = np.full(encoded.length, NOT_ASKED, dtype=np.int64)
        self._labels[said][first] = labels[self._word[first]]
        passed = set(range(len(labels))) - set(self._word[first].tolist())
        for word in sorted(passed):
            if record.tags[word] != OUTSIDE:
                raise DataError(
                    f"token {word + 1} ({record.words[word]!r}) is nothing to the model's "
                    f"tokenizer, so its tag {record.tags[word]} cannot be learned: tag it {OUTSIDE}"
                )

    def windows(self, most: int) -> Iterator[tuple[int, int]]:
        """First and last token, exclusive, of parts that `most` tokens hold with special ones."""
        opening, tokens = self._encoded.opening, len(self._word)
        room = most - opening - self._encoded.closing
        if room < 1:
            raise ConfigurationError(
                f"training.maxLength {most} leaves no room beside the special tokens of the model"
            )
        inside = np.array([tag.startswith("I-") for tag in self._record.tags])
        begins = np.diff(self._word, prepend=-1).astype(np.bool_) & ~inside[self._word]
        for start, end in windows(tokens, np.flatnonzero(begins).tolist(), room):
            yield opening + start, opening + end

    def example(self, start: int, end: int) -> TaggedText:
        encoded = self._encoded
        where = encoded.part(start, end)
        segments = None if encoded.segments is None else encoded.segments[where]
        labels = self._labels[where]
        return TaggedText(
            encoded.ids[where], segments, encoded.closing, self._texts.pad, labels, self._names
        )


def windows(length: int, borders: Sequence[int], room: int) -> Iterator[tuple[int, int]]:
    """Split what is too long at the last border that fits, or where room ends if there is none.

    Args:
        length: of the whole.
        borders: where it may be split, ascending.
        room: the most that a part may have.
    """
    start = 0
    while length - start > room:
        fitting = [border for border in borders if start < border <= start + room]
        end = fitting[-1] if fitting else start + room
        yield start, end
        start = end
    yield start, length


def _text(tokenizer: "PreTrainedTokenizerBase", ids: NDArray[np.int64]) -> str:
    return str(tokenizer.decode(ids.tolist()))
