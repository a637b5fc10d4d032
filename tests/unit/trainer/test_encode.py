"""Tokenizing on several processors gives what one gives."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from finetune_trainer.data.encode import CHUNK, Made, encode
from finetune_trainer.data.examples import TokensExample
from finetune_trainer.data.formats import Record
from finetune_trainer.data.read import Located
from finetune_trainer.errors import DataError

MANY = 5 * CHUNK + 7


@dataclass(frozen=True)
class Letters:
    """An example of each word; none is learned of those that begin with a capital."""

    settings: Mapping[str, object] = field(default_factory=dict)

    def __call__(self, record: Record) -> Sequence[TokensExample]:
        if record.text == "bad":
            raise DataError("no good")
        return [
            TokensExample(
                np.array([ord(letter) for letter in word]),
                np.full(len(word), word.islower()),
            )
            for word in record.text.split()
        ]


def located(texts: Sequence[str]) -> Iterator[Located]:
    return (Located(Record(text=text), f"line {at}", at % 3) for at, text in enumerate(texts))


def told(made: Made) -> tuple[object, ...]:
    example = made.example
    of = example.ids.tolist() if isinstance(example, TokensExample) else None
    return made.length_before, made.source, of


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_order_and_content_do_not_depend_on_the_number_of_processes(processes: int) -> None:
    texts = [f"word{number} Other twelveletters" for number in range(MANY)]
    found = [told(each) for each in encode(located(texts), Letters(), 8, processes)]
    assert len(found) == 3 * MANY
    assert found[:3] == [
        (5, 0, [ord(letter) for letter in "word0"]),
        (5, 0, None),
        (13, 0, [ord(letter) for letter in "twelvele"]),
    ]
    assert [each[2] for each in found[::3]] == [
        [ord(letter) for letter in f"word{number}"] for number in range(MANY)
    ]
    assert [each[1] for each in found[::3]] == [number % 3 for number in range(MANY)]


@pytest.mark.parametrize("processes", [1, 2])
def test_the_first_bad_record_is_named(processes: int) -> None:
    texts = ["good"] * MANY
    texts[3 * CHUNK + 5] = texts[4 * CHUNK] = "bad"
    with pytest.raises(DataError, match=rf"^line {3 * CHUNK + 5}: no good$"):
        list(encode(located(texts), Letters(), 8, processes))


def test_records_are_taken_as_they_are_needed() -> None:
    taken = 0

    def endless() -> Iterator[Located]:
        nonlocal taken
        while True:
            taken += 1
            yield Located(Record(text="good"), "somewhere")

    made = encode(endless(), Letters(), 8, 2)
    assert next(made).length_before == 4
    assert taken <= 16 * CHUNK
    made.close()
