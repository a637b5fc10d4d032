"""Hold out a share of the records."""

import hashlib
from collections.abc import Iterable, Iterator

import numpy as np

from finetune_trainer.data.read import Located, derived
from finetune_trainer.errors import DataError


def split(
    records: Iterable[Located], fraction: float, seed: int
) -> tuple[Iterable[Located], Iterable[Located]]:
    """What is learned and what is held out, chosen by seed and content, whatever their order.

    Equal records stay on one side, so that nothing measured was learned.

    Raises:
        DataError: a side would be empty.
    """
    if not fraction:
        return records, []
    keys = np.array([_key(item, seed) for item in records])  # a row each, not an object
    wanted = max(1, round(len(keys) * fraction))
    threshold = np.sort(keys)[wanted - 1]
    if np.all(keys <= threshold):
        raise DataError(
            f"dataset.validationFraction {fraction} of {len(keys)} examples leaves none to "
            "learn from: give more examples or set it lower"
        )

    def side(*, held_out: bool) -> Iterator[Located]:
        return (item for item in records if (_key(item, seed) <= threshold) is held_out)

    return (
        derived(records, lambda: side(held_out=False)),
        derived(records, lambda: side(held_out=True)),
    )


def _key(item: Located, seed: int) -> bytes:
    # numpy takes zeros at the end of bytes for padding, and digits are none.
    return hashlib.sha256(f"{seed}\0{item.record}".encode()).hexdigest().encode()
