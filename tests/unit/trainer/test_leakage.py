"""What is measured must not have been learned: the same words on both sides are found."""

import random
import time

import pytest

from finetune_trainer.data.formats import ColumnValues, Record, Role, Turn
from finetune_trainer.data.leakage import find_leaks
from finetune_trainer.data.read import Located
from finetune_trainer.manifest import Leak

TEXT = "The night shift found the north press standing still with a worn belt and no oil"


def located(name: str, *texts: str) -> list[Located]:
    return [Located(Record(text=text), f"{name} line {at}") for at, text in enumerate(texts, 1)]


@pytest.mark.parametrize(
    ("learned", "exact", "near"),
    [
        (TEXT, 1, 0),
        (TEXT.upper() + "!", 1, 0),
        ("Listen: " + TEXT + ". That was all for the day.", 0, 1),
        (TEXT.replace("worn", "torn"), 0, 0),
        (TEXT.replace("oil", "fuel"), 0, 1),
        ("Another shift found another press.", 0, 0),
    ],
)
def test_the_same_words_are_found(learned: str, exact: int, near: int) -> None:
    leaks = find_leaks(located("train", "a", learned), located("validation", "b", TEXT))
    assert (leaks.exact, leaks.near) == (exact, near)
    expected = [Leak(held_out="validation line 2", learned="train line 2")]
    assert leaks.first == (expected if exact or near else [])
    assert ("train line 2" in leaks.message) == bool(exact or near)


def test_answers_and_columns_count_too() -> None:
    def turns(answer: str) -> Record:
        return Record(turns=(Turn(Role.USER, "why?"), Turn(Role.ASSISTANT, answer)))

    def columns(*answers: str) -> Record:
        return Record(columns=ColumnValues(question="why?", answer=answers))

    for of in (turns, columns):
        one, other = (Located(of(answer), "here") for answer in ("because", "so"))
        assert find_leaks([one], [one]).exact == 1
        assert find_leaks([one], [other]).exact == 0


def test_what_everybody_says_is_no_leak() -> None:
    greeting = "you are a helpful assistant and you always answer well "
    held_out = located("validation", *(f"{greeting} {n} {n * n}" for n in range(50)))
    train = located("train", *(f"{greeting} {n} {n * n}" for n in range(100, 200)))
    assert find_leaks(train, held_out).message == ""


def test_many_records_take_seconds() -> None:
    chance = random.Random(1)
    words = [f"word{n}" for n in range(5000)]
    texts = [" ".join(chance.choices(words, k=40)) for _ in range(10_000)]
    train, held_out = located("train", *texts[500:]), located("validation", *texts[:500])
    began = time.process_time()
    assert find_leaks(train, held_out).message == ""
    # A million of them would take 100 times as long.
    assert time.process_time() - began < 3
