"""Examples come out of their files as they went in, whatever their class and however many."""

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from finetune_trainer.data.compared import ComparedExample
from finetune_trainer.data.examples import AnsweredExample, Example, TokensExample
from finetune_trainer.data.formats import Span, SpanQuestion
from finetune_trainer.data.store import StoredExamples, write
from finetune_trainer.tasks.extractive_question_answering import Window
from finetune_trainer.tasks.text_classification import Classes, ClassifiedText
from finetune_trainer.tasks.token_classification import TaggedText

TEXTS = st.text(max_size=8)
ANSWERS = st.lists(TEXTS, max_size=3).map(tuple)
CLASSES = Classes(("cat", "dög"), several=True, weights=np.array([0.5, 2.0], dtype=np.float32))


def ids(length: int) -> st.SearchStrategy[Any]:
    return arrays(np.int64, length, elements=st.integers(0, 2**31 - 1))


def flags(length: int) -> st.SearchStrategy[Any]:
    return arrays(np.bool_, length)


@st.composite
def document(draw: st.DrawFn) -> TokensExample:
    length = draw(st.integers(1, 5))
    return TokensExample(draw(ids(length)), draw(flags(length)))


@st.composite
def answered(draw: st.DrawFn) -> AnsweredExample:
    tokens = draw(document())
    return AnsweredExample(tokens.ids, tokens.supervised, draw(ANSWERS))


@st.composite
def tagged(draw: st.DrawFn) -> TaggedText:
    length = draw(st.integers(1, 5))
    segments = draw(st.none() | ids(length))
    return TaggedText(draw(ids(length)), segments, 1, 0, draw(ids(length)), ("O", "B-É"))


@st.composite
def classified(draw: st.DrawFn) -> ClassifiedText:
    length = draw(st.integers(1, 5))
    chosen = draw(arrays(np.float32, 2, elements=st.sampled_from([0.0, 1.0])))
    return ClassifiedText(draw(ids(length)), None, 1, 0, of=CLASSES, classes=chosen)


@st.composite
def window(draw: st.DrawFn) -> Window:
    length = draw(st.integers(1, 5))
    answers = tuple(Span(each, at) for at, each in enumerate(draw(ANSWERS)))
    return Window(
        ids=draw(ids(length)),
        segments=draw(ids(length)),
        closing=1,
        pad=0,
        question=SpanQuestion(draw(TEXTS), draw(TEXTS), answers),
        may_refuse=draw(st.booleans()),
        offsets=draw(arrays(np.int64, (length, 2), elements=st.integers(0, 99))),
        allowed=draw(flags(length)),
        span=(draw(st.integers(0, 9)), draw(st.integers(0, 9))),
    )


@st.composite
def compared(draw: st.DrawFn) -> ComparedExample:
    known = draw(st.none() | st.just((-1.5, -2.25)))
    return ComparedExample((draw(document()), draw(document())), draw(st.booleans()), known)


KINDS: dict[type[Example], Callable[[], st.SearchStrategy[Any]]] = {
    TokensExample: document,
    AnsweredExample: answered,
    TaggedText: tagged,
    ClassifiedText: classified,
    Window: window,
    ComparedExample: compared,
}


def same(one: Any, other: Any) -> bool:
    """Arrays by their type and values, all else by ==."""
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other)
    if is_dataclass(one):
        names = [each.name for each in fields(one)]
        return type(one) is type(other) and all(
            same(getattr(one, name), getattr(other, name)) for name in names
        )
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


@pytest.mark.parametrize("kind", KINDS)
@given(st.data())
def test_examples_are_what_they_were(kind: type[Example], data: st.DataObject) -> None:
    examples = data.draw(st.lists(KINDS[kind](), min_size=1, max_size=4))
    if kind is TaggedText:  # a tokenizer knows segments, or it does not
        examples = [each for each in examples if (each.segments is None) is _none(examples[0])]
    with TemporaryDirectory() as name:
        write(Path(name), kind, iter(examples))
        stored = StoredExamples(Path(name), kind)
        assert len(stored) == len(examples)
        assert all(map(same, examples, stored))
        assert all(map(same, examples[::-1], stored[::-1]))


def _none(example: TaggedText) -> bool:
    return example.segments is None


def test_what_is_read_can_be_written_to(tmp_path: Path) -> None:
    """torch warns of tensors that share memory which cannot be."""
    write(tmp_path, TokensExample, [TokensExample(np.arange(3), np.ones(3, dtype=np.bool_))])
    (example,) = StoredExamples(tmp_path, TokensExample)
    assert isinstance(example, TokensExample)
    assert example.ids.flags.writeable
    assert example.supervised.flags.writeable


def test_arrays_of_other_shapes_are_refused(tmp_path: Path) -> None:
    one = TokensExample(np.arange(3), np.ones(3, dtype=np.bool_))
    other = TokensExample(np.ones(3, dtype=np.float32), np.ones(3, dtype=np.bool_))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="float32"):
        write(tmp_path, TokensExample, [one, other])
