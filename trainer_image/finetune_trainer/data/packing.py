"""Pack examples into sequences, and put the sequences into an order.

Pure, and blind to how many processes train: the same seed gives the same batches on one process
and on sixteen.
"""

import bisect
import random
from collections import defaultdict
from collections.abc import Callable, Sequence

Pack = tuple[int, ...]
"""Indices of the examples of one sequence."""

RowLayout = Callable[[Sequence[Pack], Sequence[int], int], list[Pack]]
"""From the sequences of a process, the lengths of all examples and the most tokens of a row to the
examples of each row."""

SIMILAR = 0.75
"""Least length of an example beside the longest of its row, where rows are filled up."""


def pack(lengths: Sequence[int], order: Sequence[int], capacity: int) -> list[Pack]:
    """Best fit decreasing: longest first, each into the fullest sequence that still holds it.

    Args:
        lengths: tokens of each example, each at most `capacity`.
        order: the examples to pack; examples of equal length are taken in this order, so that
            another order gives other neighbours, and always the same number of sequences.
        capacity: tokens of one sequence.
    """
    packs: list[list[int]] = []
    open_packs: dict[int, list[int]] = defaultdict(list)  # free tokens → packs
    free_sizes: list[int] = []  # the keys of open_packs, sorted
    for example in sorted(order, key=lambda index: -lengths[index]):
        length = lengths[example]
        if length > capacity:
            raise ValueError(f"example {example} has {length} tokens, more than {capacity}")
        position = bisect.bisect_left(free_sizes, length)
        if position == len(free_sizes):
            target, free = len(packs), capacity
            packs.append([])
        else:
            free = free_sizes[position]
            target = open_packs[free].pop()
            if not open_packs[free]:
                del open_packs[free], free_sizes[position]
        packs[target].append(example)
        left = free - length
        if left not in open_packs:
            bisect.insort(free_sizes, left)
        open_packs[left].append(target)
    return [tuple(members) for members in packs]


def epoch_batches(
    lengths: Sequence[int],
    *,
    capacity: int,
    packing: bool,
    sequences_per_batch: int,
    seed: int,
    epoch: int,
    members: Sequence[int] | None = None,
) -> list[list[Pack]]:
    """The optimizer steps of one epoch: each of its examples in exactly one sequence of one step.

    Args:
        members: the examples of the epoch, of which one may stand there more than once; without
            them it is every example once.

    The last step of an epoch may hold fewer sequences than the others.
    """
    # random.Random seeded with a string does not depend on the process's hash seed.
    shuffler = random.Random(f"{seed}/{epoch}")  # noqa: S311 - an order, not a secret
    order = list(range(len(lengths)) if members is None else members)
    shuffler.shuffle(order)
    unpacked: list[Pack] = [(example,) for example in order]
    packs = pack(lengths, order, capacity) if packing else unpacked
    shuffler.shuffle(packs)
    return [
        packs[start : start + sequences_per_batch]
        for start in range(0, len(packs), sequences_per_batch)
    ]


def share(batch: Sequence[Pack], rank: int, world_size: int) -> list[Pack]:
    """The sequences of a step that one process computes; the shares differ by one at most."""
    return list(batch[rank::world_size])


def rows(packs: Sequence[Pack], lengths: Sequence[int], capacity: int) -> list[Pack]:
    """Join short sequences into rows of at most `capacity` tokens, which compute faster.

    Documents never see each other in a row, so that this changes no result.
    """
    joined: list[list[int]] = []
    free = 0
    for members in packs:
        length = sum(lengths[example] for example in members)
        if not joined or length > free:
            joined.append([])
            free = capacity
        joined[-1].extend(members)
        free -= length
    return [tuple(row) for row in joined]


def padded_rows(packs: Sequence[Pack], lengths: Sequence[int], capacity: int) -> list[Pack]:
    """Put examples of similar length side by side, at most `capacity` tokens with what fills up.

    Each example is computed for itself whatever is beside it, so that this changes no result.
    """
    made: list[list[int]] = []
    longest = 0
    members = [example for pack in packs for example in pack]
    for example in sorted(members, key=lambda index: (-lengths[index], index)):
        length = lengths[example]
        full = bool(made) and (len(made[-1]) + 1) * longest > capacity
        if not made or full or length < SIMILAR * longest:
            made.append([])
            longest = length
        made[-1].append(example)
    return [tuple(row) for row in made]
