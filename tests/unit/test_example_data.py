"""The data that the examples build: always the same, and nothing held out is learned."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from finetune_trainer.data.formats import Record
from finetune_trainer.data.leakage import find_leaks
from finetune_trainer.data.read import Located

EXAMPLES = Path(__file__).parents[2] / "examples"


@contextmanager
def module(example: str, name: str = "build") -> Iterator[ModuleType]:
    """A file of an example, which finds those beside it."""
    folder = str(EXAMPLES / example)
    sys.path.insert(0, folder)
    try:
        spec = importlib.util.spec_from_file_location(f"{example}-{name}", f"{folder}/{name}.py")
        assert spec is not None
        assert spec.loader is not None
        made = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = made
        spec.loader.exec_module(made)
        yield made
    finally:
        sys.path.remove(folder)


def located(texts: list[str]) -> list[Located]:
    return [Located(Record(text=text), str(at)) for at, text in enumerate(texts)]


def test_notes_that_are_held_out_have_nothing_in_common_with_those_that_are_learned() -> None:
    with module("question-answering") as build:
        train, held_out = (list(build.examples(held_out=each)) for each in (False, True))
        assert train == list(build.examples(held_out=False))
    assert (len(train), len(held_out)) == (480, 60)
    assert all(line["answer"] in line["context"] for line in (*train, *held_out))
    for key in ("context", "question", "answer"):
        assert not {line[key] for line in train} & {line[key] for line in held_out}


def test_messages_that_are_held_out_are_not_learned_in_another_form() -> None:
    with module("translation") as build:
        train, held_out = build.pairs()
    assert len(train) > 600
    assert len(held_out) == 90
    leaks = find_leaks(*(located([english for _, english in side]) for side in (train, held_out)))
    assert leaks.message == ""


def test_tunes_that_are_held_out_begin_otherwise_and_can_be_played() -> None:
    with module("music") as build, module("music", "tunes") as music:
        train, held_out = build.tunes()
        assert len(train) > 300
        assert len(held_out) == 40
        known = music.Known(train)
        assert sum(known.has(tune) for tune in held_out) <= 1
        assert all(known.has(tune) for tune in train)
        assert all(music.judge(tune).parses for tune in held_out[:3])


def test_a_tune_is_judged_by_its_bars() -> None:
    with module("music", "tunes") as music:
        header, bar = "M:2/4\nL:1/16\nK:D\n", "AFDF AFDF|"
        good = music.judge(f"{header}FG|{bar * 10}d2d2d2|]\n")
        assert good.playable
        assert (good.bars, good.full) == (10, 10)
        long = music.judge(f"{header}{bar * 5}AFDF AFDFA|{bar * 5}\n")
        assert long.parses
        assert not long.playable
        assert long.full == long.bars - 1
        assert not music.judge(f"{header}{bar * 4}\n").playable
        assert not music.judge("The quick brown fox").parses
        assert not music.judge(f"{header}Sure! Here is a tune for you.\n").playable
