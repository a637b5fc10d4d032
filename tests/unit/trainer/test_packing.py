from collections import Counter
from itertools import combinations
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_trainer.data.examples import TokensExample
from finetune_trainer.data.packing import (
    SIMILAR,
    Pack,
    epoch_batches,
    pack,
    padded_rows,
    rows,
    share,
)
from finetune_trainer.data.plan import make_plan
from finetune_trainer.recipe import Training
from tests.trainer.recipes import recipe

CAPACITY = 64
LENGTHS = st.lists(st.integers(1, CAPACITY), min_size=1, max_size=60)


@st.composite
def epochs(draw: st.DrawFn) -> tuple[list[int], list[list[Pack]], int]:
    """Lengths of examples, the steps of an epoch over them, and how many sequences a step has."""
    lengths = draw(LENGTHS)
    sequences = draw(st.integers(1, 8))
    batches = epoch_batches(
        lengths,
        capacity=CAPACITY,
        packing=draw(st.booleans()),
        sequences_per_batch=sequences,
        seed=draw(st.integers(0, 2**32 - 1)),
        epoch=draw(st.integers(0, 5)),
    )
    return lengths, batches, sequences


@given(LENGTHS, st.randoms())
def test_packing_loses_nothing_and_overfills_nothing(lengths: list[int], random: Random) -> None:
    order = list(range(len(lengths)))
    random.shuffle(order)
    packs = pack(lengths, order, CAPACITY)
    assert sorted(example for members in packs for example in members) == sorted(order)
    assert all(0 < sum(lengths[example] for example in members) <= CAPACITY for members in packs)


@given(LENGTHS, st.randoms())
def test_number_of_sequences_does_not_depend_on_the_order(
    lengths: list[int], random: Random
) -> None:
    order = list(range(len(lengths)))
    before = len(pack(lengths, order, CAPACITY))
    random.shuffle(order)
    assert len(pack(lengths, order, CAPACITY)) == before


@given(LENGTHS)
def test_no_two_sequences_would_fit_into_one(lengths: list[int]) -> None:
    packs = pack(lengths, range(len(lengths)), CAPACITY)
    totals = [sum(lengths[example] for example in members) for members in packs]
    assert all(one + other > CAPACITY for one, other in combinations(totals, 2))


@given(epochs())
def test_every_example_once_an_epoch(epoch: tuple[list[int], list[list[Pack]], int]) -> None:
    lengths, batches, sequences = epoch
    seen = Counter(example for batch in batches for members in batch for example in members)
    assert seen == Counter(range(len(lengths)))
    assert all(len(batch) == sequences for batch in batches[:-1])


@given(epochs(), st.integers(1, 8))
def test_processes_share_each_step_without_rest(
    epoch: tuple[list[int], list[list[Pack]], int], world_size: int
) -> None:
    lengths, batches, _ = epoch
    for batch in batches:
        shares = [share(batch, rank, world_size) for rank in range(world_size)]
        assert Counter(members for part in shares for members in part) == Counter(batch)
        assert max(map(len, shares)) - min(map(len, shares)) <= 1
        for part in shares:
            joined = rows(part, lengths, CAPACITY)
            flat = [example for members in part for example in members]
            assert [example for row in joined for example in row] == flat
            assert all(sum(lengths[example] for example in row) <= CAPACITY for row in joined)


def test_seed_and_epoch_give_the_order() -> None:
    def batches(seed: int, epoch: int) -> object:
        return epoch_batches(
            [10, 20, 30] * 9,
            capacity=CAPACITY,
            packing=True,
            sequences_per_batch=2,
            seed=seed,
            epoch=epoch,
        )

    assert batches(1, 0) == batches(1, 0)
    assert batches(1, 0) != batches(2, 0)
    assert batches(1, 0) != batches(1, 1)


def training(**changes: object) -> Training:
    return recipe(training=changes).training


def example() -> TokensExample:
    return TokensExample(np.arange(100), np.ones(100, dtype=np.bool_))


def test_epochs_are_whole() -> None:
    plan = make_plan([100] * 10, [99.0] * 10, training(maxSteps=None, epochs=3, warmupSteps=0))
    assert (plan.steps_per_epoch, plan.total_steps) == (3, 9)
    assert plan.step(2, rank=0, world_size=1).weight == 2 * 99


@pytest.mark.parametrize(("max_steps", "epochs"), [(2, 1), (2, 5), (8, 1)])
def test_max_steps_counts_and_epochs_does_not(max_steps: int, epochs: int) -> None:
    made = training(maxSteps=max_steps, epochs=epochs, warmupSteps=0)
    assert make_plan([100] * 10, [99.0] * 10, made).total_steps == max_steps


@given(epochs(), st.integers(1, 8), st.integers(1, 4))
def test_rows_that_are_filled_up_hold_similar_lengths_and_lose_nothing(
    epoch: tuple[list[int], list[list[Pack]], int], world_size: int, micro_batch: int
) -> None:
    lengths, batches, _ = epoch
    capacity = CAPACITY * micro_batch
    for batch in batches:
        shares = [share(batch, rank, world_size) for rank in range(world_size)]
        made = [row for part in shares for row in padded_rows(part, lengths, capacity)]
        assert Counter(each for row in made for each in row) == Counter(
            each for members in batch for each in members
        )
        for row in made:
            of = [lengths[each] for each in row]
            assert max(of) * len(of) <= capacity
            assert min(of) >= SIMILAR * max(of)
