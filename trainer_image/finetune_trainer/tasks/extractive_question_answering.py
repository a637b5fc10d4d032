"""ExtractiveQuestionAnswering: which part of a text answers a question, if any does."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from finetune_trainer.data.encoded import EncodedText
from finetune_trainer.data.formats import Record, Span, SpanQuestion
from finetune_trainer.errors import DataError
from finetune_trainer.manifest import Part
from finetune_trainer.recipe import Recipe
from finetune_trainer.tasks.padded import (
    Encoded,
    PaddedEncoder,
    PaddedTask,
    Texts,
    classes,
)

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


OVERLAP = 4
"""Windows overlap by one part in so many."""

LEAST_ROOM = 16
"""Tokens of the text that a window holds, at least."""


@dataclass(frozen=True)
class Window(EncodedText):
    """A question, and as much of its text as maxLength holds beside it."""

    question: SpanQuestion
    may_refuse: bool
    """Whether the data teach that a question may have no answer."""
    offsets: NDArray[np.int64]
    """(length, 2): where each token of the text begins and ends in it."""
    allowed: NDArray[np.bool_]
    """(length,): the tokens of the text, and the first of all, which stands for no answer here."""
    span: tuple[int, int]
    """First and last token of the answer; the first of all where it is not in the window."""

    @property
    def targets(self) -> int:
        return 1

    @property
    def weight(self) -> float:
        return 1.0

    @property
    def content(self) -> bytes:
        return self.ids.tobytes() + repr(self.span).encode()

    def cut(self, length: int) -> "Window":
        """Windows are made as long as may be."""
        return self


class ExtractiveQuestionAnsweringTask(PaddedTask):
    """Long texts are gone through in windows that overlap, so that none of them is cut off. Learned
    is the first of the answers, evaluated against all."""

    example = Window

    def prepare(
        self,
        tokenizer: "PreTrainedTokenizerBase",
        recipe: Recipe,
        records: Iterable[Record],
    ) -> PaddedEncoder[Window]:
        texts, most = Texts(tokenizer), recipe.training.max_length
        may_refuse = any(
            record.span_question and not record.span_question.answers for record in records
        )

        def encode(record: Record) -> list[Window]:
            if record.span_question is None:
                raise TypeError("the record is of another form")
            return list(windows_of(texts, record.span_question, most, may_refuse=may_refuse))

        return PaddedEncoder(encode, classes(("start", "end")))

    def show(self, tokenizer: "PreTrainedTokenizerBase", example: Window) -> list[Part]:
        """The window with its answer, or with what says that there is none."""
        first, last = example.span

        def text(start: int, end: int) -> str:
            return str(tokenizer.decode(example.ids[start:end].tolist()))

        if last == 0:
            return [
                Part(text=text(0, example.length), learned=False),
                Part(text=" → no answer here", learned=True),
            ]
        return [
            Part(text=text(0, first) + " ", learned=False),
            Part(text=text(first, last + 1), learned=True),
            Part(text=" " + text(last + 1, example.length), learned=False),
        ]


def windows_of(
    texts: Texts, question: SpanQuestion, most: int, *, may_refuse: bool
) -> Iterator[Window]:
    """
    Raises:
        DataError: the question leaves too little room in `most` tokens, or the tokenizer passes
            over the answer.
    """
    encoded = texts.encode(question.question, question.context)
    of_text = np.flatnonzero(encoded.texts == 1)
    if not len(of_text):
        raise DataError("the context is nothing to the model's tokenizer: leave the example out")
    begin, end = int(of_text[0]), int(of_text[-1]) + 1
    around = encoded.length - (end - begin)
    if most - around < min(LEAST_ROOM, end - begin):
        raise DataError(
            f"training.maxLength {most} leaves {max(0, most - around)} tokens for the context "
            f"beside a question of {around} tokens with special ones: set it to "
            f"{around + LEAST_ROOM} or more"
        )
    answer = _tokens_of(question.answers[0], encoded, begin, end) if question.answers else None
    for start, stop in overlapping(end - begin, most - around):
        where = np.r_[:begin, begin + start : begin + stop, end : encoded.length]
        allowed = encoded.texts[where] == 1
        allowed[0] = True
        span = (0, 0)
        if answer and begin + start <= answer[0] and answer[1] < begin + stop:
            span = (answer[0] - start, answer[1] - start)
        yield Window(
            ids=encoded.ids[where],
            segments=None if encoded.segments is None else encoded.segments[where],
            closing=encoded.closing,
            pad=texts.pad,
            question=question,
            may_refuse=may_refuse,
            offsets=encoded.offsets[where],
            allowed=allowed,
            span=span,
        )


def overlapping(length: int, room: int) -> Iterator[tuple[int, int]]:
    """Windows of at most `room` over `length` tokens; each but the first goes back by a part of
    the room, so that what a border cuts is whole in another, unless it is longer than that."""
    stride = room - room // OVERLAP
    start = 0
    while True:
        end = min(length, start + room)
        yield start, end
        if end == length:
            return
        start += stride


def _tokens_of(answer: Span, encoded: Encoded, begin: int, end: int) -> tuple[int, int]:
    """First and last token of an answer."""
    starts, ends = encoded.offsets[begin:end].T
    inside = np.flatnonzero((starts < answer.start + len(answer.text)) & (ends > answer.start))
    if not len(inside):
        raise DataError(f"the answer {answer.text!r} is nothing to the model's tokenizer")
    return begin + int(inside[0]), begin + int(inside[-1])
