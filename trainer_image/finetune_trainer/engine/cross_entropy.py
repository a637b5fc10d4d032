"""Cross-entropy of what a linear head says, without the logits of all positions at a time.

torch.nn.functional.linear_cross_entropy does so too, but gives the loss of BF16 inputs rounded to
BF16 (torch 2.13), which is three digits of a sum over a row.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch.nn.functional import cross_entropy
from torch.utils.checkpoint import checkpoint

from finetune_trainer.heads import POSITIONS_AT_ONCE
from finetune_trainer.products import linear, times


def summed(
    hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor, dtype: torch.dtype
) -> torch.Tensor:
    """Sum of the cross-entropies, nats, FP32.

    Args:
        hidden: (positions, hidden size), what goes into the head.
        weight: (vocabulary, hidden size), of the head.
        targets: (positions,), int64.
        dtype: to multiply in.
    """
    if not torch.is_grad_enabled():
        return each(hidden, weight, targets, dtype).sum()
    loss: Any = _Summed
    made: torch.Tensor = loss.apply(hidden, weight, targets, dtype)
    return made


def each(
    hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor, dtype: torch.dtype
) -> torch.Tensor:
    """The cross-entropy of each position, nats, FP32; see `summed` for the arguments.

    What each is multiplied with is known only in the backward pass, which computes the logits
    again.
    """

    def of_part(states: torch.Tensor, head: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
        logits = linear(states.to(dtype), head.to(dtype)).float()
        return cross_entropy(logits, chosen, reduction="none")

    parts = [
        checkpoint(
            of_part,
            hidden[part],
            weight,
            targets[part],
            use_reentrant=False,
            preserve_rng_state=False,
        )
        for part in _parts(len(targets))
    ]
    return torch.cat(parts) if parts else of_part(hidden, weight, targets)


def _parts(positions: int) -> Iterator[slice]:
    starts = range(0, positions, POSITIONS_AT_ONCE)
    return (slice(start, start + POSITIONS_AT_ONCE) for start in starts)


class _Summed(torch.autograd.Function):
    """The gradients of a sum are known but for one factor as soon as the logits are there, so that
    nothing is computed twice."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        targets: torch.Tensor,
        dtype: torch.dtype,
    ) -> torch.Tensor:
        total = torch.zeros((), dtype=torch.float32, device=hidden.device)
        of_hidden = torch.empty_like(hidden, dtype=dtype)
        of_weight = torch.zeros_like(weight) if ctx.needs_input_grad[1] else None
        with torch.autocast(hidden.device.type, enabled=False):
            head = weight.to(dtype)
            for part in _parts(len(targets)):
                states = hidden[part].to(dtype)
                losses, slopes = _of_logits(times(states, head).float(), targets[part])
                total += losses.sum()
                slopes = slopes.to(dtype)
                of_hidden[part] = times(slopes, head.T)
                if of_weight is not None and of_weight.dtype is dtype:
                    of_weight.addmm_(slopes.T, states)
                elif of_weight is not None:
                    of_weight += slopes.T @ states
        ctx.save_for_backward(of_hidden, of_weight)
        ctx.dtype = hidden.dtype
        return total

    @staticmethod
    def backward(ctx: Any, factor: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        of_hidden, of_weight = ctx.saved_tensors
        given = None if of_weight is None else of_weight.mul_(factor)
        return of_hidden.mul_(factor).to(ctx.dtype), given, None, None


def _of_logits(logits: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The losses, and what a logit more would add to them, in the place of the logits."""
    rows = torch.arange(len(targets), device=targets.device)
    chosen = logits[rows, targets]
    top = logits.amax(dim=-1, keepdim=True)
    slopes = logits.sub_(top).exp_()
    sums = slopes.sum(dim=-1, keepdim=True)
    slopes.div_(sums)
    slopes[rows, targets] -= 1
    return (sums.log() + top).squeeze(1) - chosen, slopes
