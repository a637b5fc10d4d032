"""Held-out examples that were learned too: what is measured on them says little.

Texts are compared by their words, whatever case and punctuation they have. An example leaks when
an example to learn from has the same words, or most of its runs of words. The cost is one pass over
the words of both sides: every fourth run of an example to learn from is looked up, so that a copied
passage of eight words is found, and only those with one in common are compared.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, replace

from finetune_trainer.data.formats import Record
from finetune_trainer.data.read import Located
from finetune_trainer.manifest import Leak, Leaks

RUN = 5
"""Words."""
_STRIDE = 4
_MOST = 0.8
"""Of the runs of a held-out example that make it nearly the same."""
_WIDESPREAD = 10
"""Held-out examples: a run of words that more of them have, such as a greeting, tells nothing."""
_NAMED = 5
"""Leaks that are named by their places."""

Run = tuple[str, ...]


def find_leaks(train: Iterable[Located], held_out: Sequence[Located]) -> Leaks:
    """How many of the held-out examples are in `train` too, word for word or nearly."""
    words = [_words(item.record) for item in held_out]
    same: dict[Run, list[int]] = defaultdict(list)
    having: dict[Run, list[int]] = defaultdict(list)
    for index, said in enumerate(words):
        same[tuple(said)].append(index)
        for run in set(_nearly(held_out[index].record, said)):
            having[run].append(index)
    known = {run: found for run, found in having.items() if len(found) <= _WIDESPREAD}
    exact: dict[int, str] = {}
    near: dict[int, str] = {}
    for item in train:
        said = _words(item.record)
        for index in same.get(tuple(said), ()) if said else ():
            exact.setdefault(index, item.place)
        runs_of = _nearly(item.record, said, _STRIDE)
        touched = {index for run in runs_of for index in known.get(run, ())}
        if touched := touched.difference(exact, near):
            runs = set(_runs(said))
            for index in touched:
                if _share(set(_runs(words[index])), runs) >= _MOST:
                    near[index] = item.place
    leaked = {**near, **exact}
    return Leaks(
        exact=len(exact),
        near=len(leaked) - len(exact),
        first=[
            Leak(held_out=held_out[index].place, learned=leaked[index])
            for index in sorted(leaked)[:_NAMED]
        ],
    )


def _share(of: set[Run], among: set[Run]) -> float:
    return len(of & among) / len(of)


def _runs(words: Sequence[str], stride: int = 1) -> Iterator[Run]:
    for at in range(0, len(words) - RUN + 1, stride):
        yield tuple(words[at : at + RUN])


def _words(record: Record) -> list[str]:
    return re.findall(r"\w+", " ".join(_texts(record)).lower())


def _texts(record: Record) -> Iterable[str]:
    yield from (turn.content for turn in record.turns)
    yield record.text
    yield from record.words
    if found := record.span_question:
        yield from (found.context, found.question)
    # Another label does not make it another text.
    for value in astuple(replace(record.columns, label="")):
        yield from (value,) if isinstance(value, str) else value


def _nearly(record: Record, words: list[str], stride: int = 1) -> Iterator[Run]:
    """Runs by which records are nearly the same; none of several questions about one text."""
    return iter(()) if record.span_question or record.columns.context else _runs(words, stride)
