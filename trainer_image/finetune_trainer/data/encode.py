"""From records to examples, on all processors."""

import multiprocessing
import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from itertools import chain, islice

from finetune_trainer.data.examples import Example
from finetune_trainer.data.read import Located
from finetune_trainer.errors import DataError
from finetune_trainer.tasks.task import Encoder

CHUNK = 256
"""Records that a process takes at a time: few enough that errors and memory stay small."""
_WAITING = 3
"""Chunks of each process that are on their way."""
_MOST = 8
"""Processes: each takes some 60 MiB, and the container may have little."""


@dataclass(frozen=True)
class Made:
    """An example as it was read."""

    length_before: int
    """Tokens, before it was cut to maxLength."""
    example: Example | None
    """None where nothing supervised is left of it."""
    source: int


def encode(
    records: Iterable[Located], encoder: Encoder, max_length: int, processes: int = 1
) -> Iterator[Made]:
    """In the order of the records, whatever the number of processes.

    Args:
        max_length: tokens that an example may have.
        processes: are forked, because an encoder cannot be sent to others: only where no thread
            holds a lock, so never beside torch. More than eight are not used.

    Raises:
        DataError: about the first record that cannot be used, with its place.
    """
    rest = iter(records)
    first = list(islice(rest, CHUNK))
    second = list(islice(rest, CHUNK)) if processes > 1 else []
    if not second:
        for item in chain(first, rest):
            yield from _made(item, encoder, max_length)
        return
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # its threads do not survive a fork
    _Forked.encoder, _Forked.max_length = encoder, max_length
    fork = multiprocessing.get_context("fork")
    chunks = chain([first, second], iter(lambda: list(islice(rest, CHUNK)), []))
    processes = min(processes, _MOST)
    with ProcessPoolExecutor(processes, mp_context=fork) as pool:
        running: deque[Future[list[Made]]] = deque()
        try:
            for chunk in chunks:
                running.append(pool.submit(_Forked.work, chunk))
                if len(running) >= _WAITING * processes:
                    yield from running.popleft().result()
            while running:
                yield from running.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


class _Forked:
    """What a process has of the one that it is a copy of."""

    encoder: Encoder
    max_length: int

    @classmethod
    def work(cls, chunk: list[Located]) -> list[Made]:
        return [made for item in chunk for made in _made(item, cls.encoder, cls.max_length)]


def _made(item: Located, encoder: Encoder, max_length: int) -> Iterator[Made]:
    try:
        examples = encoder(item.record)
    except DataError as error:
        raise DataError(f"{item.place}: {error}") from error
    for example in examples:
        cut = example.cut(max_length)
        yield Made(example.length, cut if cut.targets else None, item.source)
