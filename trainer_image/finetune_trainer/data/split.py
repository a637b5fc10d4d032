"""Hold out a share of the records."""

import hashlib
import itertools
from collections.abc import Iterable

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
    held_out = keys <= threshold  # as many as the records, in their order
    if np.all(held_out):
        raise DataError(
            f"dataset.validationFraction {fraction} of {len(keys)} examples leaves none to "
            "learn from: give more examples or set it lower"
        )

    return (
        derived(records, lambda: itertools.compress(records, ~held_out)),
        derived(records, lambda: itertools.compress(records, held_out)),
    )


def _key(item: Located, seed: int) -> bytes:
    # numpy takes zeros at the end of bytes for padding, and digits are none.
    return hashlib.sha256(f"{seed}\0{item.record}".encode()).hexdigest().encode()
