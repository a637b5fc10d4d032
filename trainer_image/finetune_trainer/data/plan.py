"""All optimizer steps of a run, known before the first one."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import count

from finetune_trainer.data.mixing import Mixture
from finetune_trainer.data.packing import Pack, RowLayout, epoch_batches, rows, share
from finetune_trainer.recipe import Training


@dataclass(frozen=True)
class Step:
    """One optimizer step as one process sees it."""

    rows: list[Pack]
    """Rows this process computes, one forward and backward pass each. A row may be empty: all
    processes make as many passes, because those that hold shares of the weights give them out
    in each."""
    weight: float
    """Of the whole step over all processes: what its loss is divided by."""


@dataclass(frozen=True)
class Plan:
    """The steps of a run; the same on every process and for every number of processes."""

    batches: list[list[Pack]]
    steps_per_epoch: int
    lengths: Sequence[int]
    weights: Sequence[float]
    max_length: int
    row_tokens: int
    """Tokens of one forward and backward pass, at most."""
    lay_out: RowLayout = rows
    """Which examples are computed together."""

    @property
    def total_steps(self) -> int:
        return len(self.batches)

    def step(self, index: int, rank: int, world_size: int) -> Step:
        """The step `index` (from 0) for one process."""
        batch = self.batches[index]
        members = [example for pack in batch for example in pack]
        shares = [
            self.lay_out(share(batch, each, world_size), self.lengths, self.row_tokens)
            for each in range(world_size)
        ]
        passes = max(len(each) for each in shares)
        return Step(
            rows=shares[rank] + [()] * (passes - len(shares[rank])),
            weight=sum(self.weights[example] for example in members),
        )

    def until(self, step: int) -> "Plan":
        """The same without the steps after `step`."""
        return replace(self, batches=self.batches[:step])

    def tokens(self, first: int, last: int) -> int:
        """Tokens of the steps from `first` up to, without, `last`."""
        return sum(
            self.lengths[example]
            for batch in self.batches[first:last]
            for pack in batch
            for example in pack
        )


def make_plan(
    lengths: Sequence[int],
    weights: Sequence[float],
    training: Training,
    *,
    micro_batch: int = 1,
    lay_out: RowLayout = rows,
    mixture: Mixture | None = None,
) -> Plan:
    """Lay out `epochs` epochs; with maxSteps as many, or as much of one, as that takes.

    Args:
        lengths: tokens of each example.
        weights: of each example, in the denominator of the loss.
        micro_batch: sequences of `training.max_length` tokens that are computed at once.
        lay_out: the task's, from sequences to rows.
        mixture: what an epoch holds, where it is not every example once.
    """
    batches: list[list[Pack]] = []
    steps_per_epoch = 0
    for epoch in range(training.epochs) if training.max_steps is None else count():
        epoch_steps = epoch_batches(
            lengths,
            capacity=training.max_length,
            packing=training.packing,
            sequences_per_batch=training.sequences_per_batch,
            seed=training.seed,
            epoch=epoch,
            members=mixture.draw(training.seed, epoch) if mixture else None,
        )
        steps_per_epoch = len(epoch_steps)
        batches.extend(epoch_steps)
        if training.max_steps is not None and len(batches) >= training.max_steps:
            break
    return Plan(
        batches=batches[: training.max_steps],
        steps_per_epoch=steps_per_epoch,
        lengths=lengths,
        weights=weights,
        max_length=training.max_length,
        row_tokens=training.max_length * micro_batch,
        lay_out=lay_out,
    )
