"""LoRA whose update is added where the base layer's result lies.

PEFT scales what B gives and adds it: two passes over the whole width of a module forwards, and one
backwards. Here what A gives is scaled, which is as thin as the rank, and B's product is summed into
the result by the product itself.
"""

from typing import Any

import torch
from peft.tuners.lora import Linear

from finetune_trainer import products
from finetune_trainer.products import times


class FusedLinear(Linear):
    """PEFT's LoRA but for how the update is added."""

    def forward(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        if args or kwargs or not self._is_alone():
            theirs: torch.Tensor = super().forward(x, *args, **kwargs)
            return theirs
        base, dropout = self.base_layer, self.lora_dropout["default"]
        a, b = self.lora_A["default"].weight, self.lora_B["default"].weight
        scaling: float = self.scaling["default"]
        dropped = self.training and not isinstance(dropout, torch.nn.Identity)
        dtype = _computed(x)
        fused: Any
        if products.is_plain(base) and _is_frozen(base, dtype) and not dropped:
            fused = _Together.apply(x, base.weight, base.bias, a, b, scaling, dtype)  # type: ignore[no-untyped-call]
        elif x.dtype == dtype == a.dtype:
            fused = _Added.apply(base(x), dropout(x), a, b, scaling)  # type: ignore[no-untyped-call]
        else:
            fused = super().forward(x)
        made: torch.Tensor = fused
        return made

    def _is_alone(self) -> bool:
        """Whether the one adapter that is trained is to be added."""
        return not (self.merged or self.disable_adapters) and self.active_adapters == ["default"]


def _computed(x: torch.Tensor) -> torch.dtype:
    """In what matrix products are computed here."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype


def _is_frozen(base: torch.nn.Linear, dtype: torch.dtype) -> bool:
    """On a processor, whole, and as it is to be computed. What is kept on a GPU is PEFT's: it was
    measured."""
    weight = base.weight
    shared_out = hasattr(weight, "ds_shape")  # ZeRO-3 brings it together when the layer is called
    ready = weight.device.type == "cpu" and weight.dtype == dtype and not shared_out
    return ready and not weight.requires_grad


class _Together(torch.autograd.Function):
    """x Wᵀ + bias + s·(x Aᵀ) Bᵀ, with the gradients of x by both ways in one place. W and bias
    are not trained, and are of the number format that products are computed in."""

    @staticmethod
    def forward(  # noqa: PLR0917 - torch hands them over by position
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        a: torch.Tensor,
        b: torch.Tensor,
        scaling: float,
        dtype: torch.dtype,
    ) -> torch.Tensor:
        flat, thin_a, thin_b = x.flatten(0, -2).to(dtype), a.to(dtype), b.to(dtype)
        thin = times(flat, thin_a).mul_(scaling)
        ctx.save_for_backward(flat, weight, thin, thin_a, thin_b)
        ctx.scaling, ctx.of_x, ctx.of_adapter = scaling, x.dtype, a.dtype
        if dtype is torch.bfloat16:
            rows = products.plus(flat, weight, bias, times(thin, thin_b))
        else:
            rows = times(flat, weight).addmm_(thin, thin_b.T)
            rows = rows if bias is None else rows.add_(bias)
        return rows.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        flat, weight, thin, a, b = ctx.saved_tensors
        (given,) = gradients
        gradient = given.flatten(0, -2)
        of_thin = times(gradient, b.T).mul_(ctx.scaling)
        of_x = None
        if ctx.needs_input_grad[0]:
            rows = times(gradient, weight.T).addmm_(of_thin, a)
            of_x = rows.to(ctx.of_x).view(*given.shape[:-1], -1)
        of_a, of_b = times(of_thin.T, flat.T), gradient_of_b(gradient, thin)
        return of_x, None, None, of_a.to(ctx.of_adapter), of_b.to(ctx.of_adapter), None, None


class _Added(torch.autograd.Function):
    """result + s·(x Aᵀ) Bᵀ, written over the result."""

    @staticmethod
    def forward(  # noqa: PLR0917 - torch hands them over by position
        ctx: Any,
        result: torch.Tensor,
        x: torch.Tensor,
        a: torch.Tensor,
        b: torch.Tensor,
        scaling: float,
    ) -> torch.Tensor:
        flat = x.flatten(0, -2)
        thin = times(flat, a).mul_(scaling)
        ctx.save_for_backward(flat, thin, a, b)
        ctx.scaling, ctx.shape = scaling, x.shape
        return added(ctx, result, thin, b)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        flat, thin, a, b = ctx.saved_tensors
        gradient = gradients[0].flatten(0, -2)
        of_thin = times(gradient, b.T).mul_(ctx.scaling)
        of_x = times(of_thin, a.T).view(ctx.shape) if ctx.needs_input_grad[1] else None
        return gradients[0], of_x, times(of_thin.T, flat.T), gradient_of_b(gradient, thin), None


def added(ctx: Any, result: torch.Tensor, thin: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """result + thin Bᵀ, in the memory of the result.

    Args:
        ctx: of the autograd function whose argument the result is.
        result: (…, outputs)
        thin: (tokens, rank)
        b: (outputs, rank)
    """
    rows = result.view(-1, result.shape[-1])
    if result._is_view():  # of a sum with a bias; autograd copies gradients of a view it follows
        return torch.addmm(rows, thin, b.T).view(result.shape)
    rows.addmm_(thin, b.T)
    ctx.mark_dirty(result)
    return result


def gradient_of_b(of_rows: torch.Tensor, thin: torch.Tensor) -> torch.Tensor:
    """(outputs, rank), by the product that takes half the time on a processor."""
    return times(thin.T, of_rows.T).T
