"""The product with a frozen weight and the low-rank update of it, computed as one.

In a graph of their own the update would read its input, and write the gradient of it, a second
time, and a product in BF16 would be rounded before the update is added to it.
"""

from typing import Any, NamedTuple

import torch

from finetune_trainer import products
from finetune_trainer.products import times


class Kept(NamedTuple):
    """What the gradients are made from; all of one number format, that of products."""

    rows: torch.Tensor
    """(tokens, inputs)"""
    weight: torch.Tensor
    """(outputs, inputs)"""
    thin: torch.Tensor
    """s·x Aᵀ, (tokens, rank)"""
    a: torch.Tensor
    """(rank, inputs)"""
    b: torch.Tensor
    """(outputs, rank)"""


class Gradients(NamedTuple):
    """Of the input, where it is asked for, and of the two factors."""

    x: torch.Tensor | None
    a: torch.Tensor
    b: torch.Tensor


def computed(x: torch.Tensor) -> torch.dtype:
    """In what matrix products are computed here."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype


def is_frozen(base: Any, dtype: torch.dtype) -> bool:
    """On a processor, whole, and as it is to be computed. What is kept on a GPU is PEFT's: it was
    measured."""
    if not products.is_plain(base):
        return False
    weight = base.weight
    shared_out = hasattr(weight, "ds_shape")  # ZeRO-3 brings it together when the layer is called
    ready = weight.device.type == "cpu" and weight.dtype == dtype and not shared_out
    return ready and not weight.requires_grad


def forward(  # noqa: PLR0917 - as the functions of autograd get them
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    a: torch.Tensor,
    b: torch.Tensor,
    scaling: float,
) -> tuple[torch.Tensor, Kept]:
    """x Wᵀ + bias + s·(x Aᵀ) Bᵀ, (tokens, outputs), in the number format of the weight."""
    dtype = weight.dtype
    rows, a, b = x.flatten(0, -2).to(dtype), a.to(dtype), b.to(dtype)
    thin = times(rows, a).mul_(scaling)
    if dtype is torch.bfloat16:
        made = products.plus(rows, weight, bias, times(thin, b))
    else:
        made = times(rows, weight).addmm_(thin, b.T)
        made = made if bias is None else made.add_(bias)
    return made, Kept(rows, weight, thin, a, b)


def backward(gradient: torch.Tensor, kept: Kept, scaling: float, *, of_x: bool) -> Gradients:
    """
    Args:
        gradient: of what `forward` gave, (tokens, outputs).
        of_x: whether its input needs one.
    """
    rows, weight, thin, a, b = kept
    of_thin = times(gradient, b.T).mul_(scaling)
    x = times(gradient, weight.T).addmm_(of_thin, a) if of_x else None
    return Gradients(x, times(of_thin.T, rows.T), gradient_of_b(gradient, thin))


def gradient_of_b(of_rows: torch.Tensor, thin: torch.Tensor) -> torch.Tensor:
    """(outputs, rank), by the product that takes half the time on a processor."""
    return times(thin.T, of_rows.T).T
