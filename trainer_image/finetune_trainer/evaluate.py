"""Held-out loss: the same measurement for the base model and for the tuned one."""

from contextlib import AbstractContextManager

import torch

from finetune_trainer.data.examples import Examples
from finetune_trainer.data.packing import pack, share
from finetune_trainer.data.rows import make_row
from finetune_trainer.engine.loss import token_losses
from finetune_trainer.engine.world import World


def held_out_losses(
    model: torch.nn.Module,
    examples: Examples,
    max_length: int,
    world: World,
    autocast: AbstractContextManager[object],
) -> list[float]:
    """For each example the sum of the cross-entropies (nats) of its supervised tokens."""
    packs = pack(examples.lengths, range(len(examples.examples)), max_length)
    losses = [0.0] * len(examples.examples)
    model.eval()
    with torch.no_grad(), autocast:
        for members in share(packs, world.rank, world.size):
            documents = [examples.examples[index] for index in members]
            row = make_row(documents).to(world.device)
            counts = [document.targets for document in documents]
            parts = torch.split(token_losses(model, row), counts)
            for index, part in zip(members, parts, strict=True):
                losses[index] = float(part.sum())
    return world.sum(losses)


def mean_loss(losses: list[float], examples: Examples) -> float:
    """Over all supervised tokens, each token weighing the same."""
    return sum(losses) / sum(example.targets for example in examples.examples)
