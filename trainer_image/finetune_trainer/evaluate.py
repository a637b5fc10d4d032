"""Held-out loss: the same measurement for the base model and for the tuned one."""

from contextlib import AbstractContextManager

import torch

from finetune_trainer.data.examples import Examples
from finetune_trainer.data.packing import pack, share
from finetune_trainer.data.rows import make_row
from finetune_trainer.engine.loss import summed_loss
from finetune_trainer.engine.world import World


def held_out_loss(
    model: torch.nn.Module,
    examples: Examples,
    max_length: int,
    world: World,
    autocast: AbstractContextManager[object],
) -> float:
    """Mean cross-entropy in nats over all supervised tokens, each token weighing the same."""
    packs = pack(examples.lengths, range(len(examples.examples)), max_length)
    total, targets = 0.0, 0
    model.eval()
    with torch.no_grad(), autocast:
        for members in share(packs, world.rank, world.size):
            row = make_row([examples.examples[index] for index in members]).to(world.device)
            total += float(summed_loss(model, row))
            targets += len(row.targets)
    total_sum, targets_sum = world.sum([total, targets])
    return total_sum / targets_sum
