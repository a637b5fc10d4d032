"""LoRA whose update is added where the base layer's result lies.

PEFT scales what B gives and adds it: two passes over the whole width of a module forwards, and one
backwards. Here what A gives is scaled, which is as thin as the rank, and B's product is summed into
the result by the product itself.
"""

from typing import Any

import torch
from peft.tuners.lora import Linear

from finetune_trainer.products import times


class FusedLinear(Linear):
    """PEFT's LoRA but for how the update is added."""

    def forward(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        if args or kwargs or not self._is_plain(x):
            theirs: torch.Tensor = super().forward(x, *args, **kwargs)
            return theirs
        made: torch.Tensor = _Added.apply(  # type: ignore[no-untyped-call]
            self.base_layer(x),
            self.lora_dropout["default"](x),
            self.lora_A["default"].weight,
            self.lora_B["default"].weight,
            self.scaling["default"],
        )
        return made

    def _is_plain(self, x: torch.Tensor) -> bool:
        """Whether the one adapter that is trained is to be added, and nothing to be cast."""
        adapter = self.lora_A["default"].weight.dtype
        cast = torch.is_autocast_enabled(x.device.type) or x.dtype != adapter
        return not (cast or self.merged or self.disable_adapters) and self.active_adapters == [
            "default"
        ]


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
