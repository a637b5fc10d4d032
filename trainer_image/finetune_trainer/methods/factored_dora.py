"""DoRA without the dense update: the norm of each row of W + sBA from its factors.

‖W + sBA‖² = ‖W‖² + 2s·(W Aᵀ ⊙ B)·1 + s²·(B (A Aᵀ) ⊙ B)·1, row by row, where ‖W‖² never changes.
PEFT makes the dense BA and adds it to W in every forward pass, which costs as much as some hundred
tokens and the memory of the weight; this costs as much as `rank` tokens. W is asked for products
only, so that it may be quantized or sharded.
"""

from typing import Any

import torch
from peft.tuners.lora import Linear
from peft.tuners.lora.dora import DoraLinearLayer
from peft.tuners.lora.variants import DoraLinearVariant
from peft.utils.integrations import gather_params_ctx

_ROWS = 1024
"""Rows of the identity that a quantized weight is read by at a time."""


class FactoredDoRA(DoraLinearLayer):
    """The magnitude of one module, and what its forward pass adds. `weight` is the magnitude."""

    square: torch.Tensor

    def update_layer(
        self,
        *,
        base_layer: Any,
        lora_A: torch.Tensor,  # noqa: N803 - PEFT's names
        lora_B: torch.Tensor,  # noqa: N803
        scaling: float,
        place_on_cpu: bool = False,
    ) -> None:
        """Take ‖W‖² and, as the first magnitude, the norm of what the module starts from."""
        with gather_params_ctx(base_layer.parameters()), torch.no_grad():
            self.register_buffer("square", _row_squares(base_layer), persistent=False)
            norm = self._norm(base_layer, lora_A, lora_B, scaling)
        self.weight = torch.nn.Parameter(norm, requires_grad=True)

    def forward(  # type: ignore[override]
        self,
        x: torch.Tensor,
        *,
        lora_A: torch.nn.Linear,  # noqa: N803
        lora_B: torch.nn.Linear,  # noqa: N803
        scaling: float,
        base_layer: Any,
        result: torch.Tensor,
        dropped: bool,
    ) -> torch.Tensor:
        """The whole output of the module.

        Args:
            x: the input, after dropout.
            result: what the base layer makes of the input before dropout.
            dropped: whether dropout has changed the input.
        """
        with torch.no_grad():
            norm = self._norm(base_layer, lora_A.weight, lora_B.weight, scaling)
        # The norm is a constant to the gradient: DoRA, section 4.3.
        factor = self.weight / norm
        inner = lora_A(x)
        if dropped:
            update = lora_B(inner) * scaling
            added: torch.Tensor = (factor - 1) * _product(base_layer, x) + factor * update
            return result + added.to(result.dtype)
        bias = getattr(base_layer, "bias", None)
        row = result if bias is None else result - bias
        made: torch.Tensor = _Turned.apply(row, inner, lora_B.weight, factor, scaling)  # type: ignore[no-untyped-call]
        return made if bias is None else made + bias

    def _norm(
        self,
        base_layer: Any,
        lora_A: torch.Tensor,  # noqa: N803
        lora_B: torch.Tensor,  # noqa: N803
        scaling: float,
    ) -> torch.Tensor:
        inner = _product(base_layer, lora_A).T.float() + scaling / 2 * (
            lora_B.float() @ (lora_A.float() @ lora_A.float().T)
        )
        square = self.square + 2 * scaling * (inner * lora_B).sum(dim=1)
        # Rounding may leave a row that the update cancels a little below zero.
        return square.clamp_min(torch.finfo(square.dtype).tiny).sqrt()


class _Turned(torch.autograd.Function):
    """factor ⊙ (row + s·inner Bᵀ), keeping for the gradient its own output only, which the model
    keeps anyway: plain operations would keep the sum as well, a tensor as large for each module."""

    @staticmethod
    def forward(  # noqa: PLR0917 - torch hands them over by position
        ctx: Any,
        row: torch.Tensor,
        inner: torch.Tensor,
        b: torch.Tensor,
        factor: torch.Tensor,
        scaling: float,
    ) -> torch.Tensor:
        flat, thin = row.flatten(0, -2), inner.flatten(0, -2)
        turned = torch.addmm(flat, thin.to(row.dtype), b.to(row.dtype).T, alpha=scaling)
        # The factor stays FP32: rounded to bfloat16, most steps of a magnitude would be none.
        output = turned.mul_(factor)
        ctx.save_for_backward(thin, b, factor, output)
        ctx.scaling, ctx.shapes = scaling, (row.shape, inner.shape)
        return output.view(row.shape)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        thin, b, factor, output = ctx.saved_tensors
        gradient = gradients[0].flatten(0, -2)
        of_factor = (gradient * output).sum(dim=0, dtype=factor.dtype) / factor
        of_row = (gradient * factor).to(gradient.dtype)
        of_thin = ctx.scaling * (of_row @ b.to(of_row.dtype))
        of_b = ctx.scaling * (of_row.T @ thin.to(of_row.dtype))
        row, inner = ctx.shapes
        of_inner = of_thin.view(inner).to(thin.dtype)
        return of_row.view(row), of_inner, of_b.to(b.dtype), of_factor, None


class FactoredVariant(DoraLinearVariant):
    """PEFT's DoRA but for how it is computed."""

    @staticmethod
    def init(module: Any, adapter_name: str, **kwargs: Any) -> None:
        if not module.lora_magnitude_vector:
            module.adapter_layer_names = (*module.adapter_layer_names, "lora_magnitude_vector")
        made = FactoredDoRA(fan_in_fan_out=False)  # type: ignore[no-untyped-call]
        made.update_layer(
            base_layer=module.get_base_layer(),
            lora_A=module.lora_A[adapter_name].weight,
            lora_B=module.lora_B[adapter_name].weight,
            scaling=module.scaling[adapter_name],
        )
        module.lora_magnitude_vector[adapter_name] = made

    @staticmethod
    def forward(
        module: Any, active_adapter: str, x: torch.Tensor, result: torch.Tensor, **kwargs: Any
    ) -> torch.Tensor:
        dropout = module.lora_dropout[active_adapter]
        dropped = module.training and not isinstance(dropout, torch.nn.Identity)
        output: torch.Tensor = module.lora_magnitude_vector[active_adapter](
            dropout(x) if dropped else x,
            lora_A=module.lora_A[active_adapter],
            lora_B=module.lora_B[active_adapter],
            scaling=module.scaling[active_adapter],
            base_layer=module.get_base_layer(),
            result=result,
            dropped=dropped,
        )
        return output


class FactoredLinear(Linear):
    def resolve_lora_variant(self, **kwargs: Any) -> FactoredVariant:
        return FactoredVariant()


def _product(base_layer: Any, x: torch.Tensor) -> torch.Tensor:
    """x Wᵀ, by whatever the layer is."""
    bias = getattr(base_layer, "bias", None)
    result: torch.Tensor = base_layer(x)
    return result if bias is None else result - bias


def _row_squares(base_layer: Any) -> torch.Tensor:
    """‖W‖² of each row, FP32."""
    weight: torch.Tensor = base_layer.weight
    if type(base_layer) is torch.nn.Linear:
        return weight.float().square().sum(dim=1)
    width = base_layer.in_features
    columns = torch.zeros(base_layer.out_features, device=weight.device)
    for first in range(0, width, _ROWS):
        some = torch.eye(min(_ROWS, width - first), width, device=weight.device)
        columns += _product(base_layer, some.roll(first, dims=1)).float().square().sum(dim=0)
    return columns
