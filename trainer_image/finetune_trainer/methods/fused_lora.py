"""LoRA whose update is added where the base layer's result lies.

PEFT scales what B gives and adds it: two passes over the whole width of a module forwards, and one
backwards. Here what A gives is scaled, which is as thin as the rank, and B's product is summed into
the result by the product itself.
"""

from typing import Any

import torch
from peft.tuners.lora import Linear

from finetune_trainer.methods import frozen_product
from finetune_trainer.methods.frozen_product import Kept, computed, gradient_of_b, is_frozen
from finetune_trainer.products import times


class FusedLinear(Linear):
    """PEFT's LoRA but for how the update is added."""

    def forward(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        if args or kwargs or not is_alone(self):
            theirs: torch.Tensor = super().forward(x, *args, **kwargs)
            return theirs
        base, dropout = self.base_layer, self.lora_dropout["default"]
        a, b = self.lora_A["default"].weight, self.lora_B["default"].weight
        scaling: float = self.scaling["default"]
        dtype = computed(x)
        fused: Any
        if is_frozen(base, dtype) and not drops(self):
            fused = _Together.apply(x, base.weight, base.bias, a, b, scaling)  # type: ignore[no-untyped-call]
        elif x.dtype == dtype == a.dtype:
            fused = _Added.apply(base(x), dropout(x), a, b, scaling)  # type: ignore[no-untyped-call]
        else:
            fused = super().forward(x)
        made: torch.Tensor = fused
        return made


def is_alone(layer: Linear) -> bool:
    """Whether the one adapter that is trained is to be added."""
    alone: bool = layer.active_adapters == ["default"]
    return alone and not (layer.merged or layer.disable_adapters)


def drops(layer: Linear) -> bool:
    """Whether the input of its one adapter is thinned out."""
    return layer.training and not isinstance(layer.lora_dropout["default"], torch.nn.Identity)


class _Together(torch.autograd.Function):
    """x Wᵀ + bias + s·(x Aᵀ) Bᵀ, where W and bias are not trained."""

    @staticmethod
    def forward(  # noqa: PLR0917 - torch hands them over by position
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        a: torch.Tensor,
        b: torch.Tensor,
        scaling: float,
    ) -> torch.Tensor:
        rows, kept = frozen_product.forward(x, weight, bias, a, b, scaling)
        ctx.save_for_backward(*kept)
        ctx.scaling, ctx.of_x, ctx.of_adapter = scaling, x.dtype, a.dtype
        return rows.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (given,) = gradients
        kept, of_x = Kept(*ctx.saved_tensors), ctx.needs_input_grad[0]
        made = frozen_product.backward(given.flatten(0, -2), kept, ctx.scaling, of_x=of_x)
        x = None if made.x is None else made.x.to(ctx.of_x).view(*given.shape[:-1], -1)
        return x, None, None, made.a.to(ctx.of_adapter), made.b.to(ctx.of_adapter), None


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
