"""DoRA without the dense update: the norm of each row of W + sBA from its factors.

‖W + sBA‖² = ‖W‖² + 2s·(W Aᵀ ⊙ B)·1 + s²·(B (A Aᵀ) ⊙ B)·1, row by row, where ‖W‖² never changes.
PEFT makes the dense BA and adds it to W in every forward pass, which costs as much as some hundred
tokens and the memory of the weight; this costs as much as `rank` tokens. W is asked for products
only, so that it may be quantized or sharded.
"""

from collections.abc import Callable
from typing import Any

import torch
from peft.tuners.lora import Linear
from peft.tuners.lora.dora import DoraLinearLayer
from peft.tuners.lora.variants import DoraLinearVariant
from peft.utils.integrations import gather_params_ctx

from finetune_trainer.methods import columns, frozen_product
from finetune_trainer.methods.frozen_product import Kept, computed, gradient_of_b, is_frozen
from finetune_trainer.methods.fused_lora import added, drops, is_alone
from finetune_trainer.products import is_plain, times

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
            norm = self._square(base_layer, lora_A, lora_B, scaling).sqrt()
        self.weight = torch.nn.Parameter(norm, requires_grad=True)

    def forward(  # type: ignore[override]
        self,
        x: torch.Tensor,
        *,
        lora_A: torch.nn.Linear,  # noqa: N803
        lora_B: torch.nn.Linear,  # noqa: N803
        scaling: float,
        base_layer: Any,
        result: torch.Tensor | None,
        dropped: bool,
    ) -> torch.Tensor:
        """The whole output of the module.

        Args:
            x: the input, after dropout.
            result: what the base layer makes of the input before dropout; None for a frozen one
                that is asked for it together with the update.
            dropped: whether dropout has changed the input.
        """
        a, b = lora_A.weight, lora_B.weight

        def square_of_norm() -> torch.Tensor:
            # The norm is a constant to the gradient: DoRA, section 4.3.
            with torch.no_grad():
                return self._square(base_layer, a, b, scaling)

        bias = getattr(base_layer, "bias", None)
        made: torch.Tensor
        if result is None:
            weight, magnitude = base_layer.weight, self.weight
            made = _Together.apply(x, weight, a, b, magnitude, square_of_norm, scaling)  # type: ignore[no-untyped-call]
            return made if bias is None else made + bias
        square = square_of_norm()
        if dropped:
            factor = self.weight * square.rsqrt()
            update = lora_B(lora_A(x)) * scaling
            turned: torch.Tensor = (factor - 1) * _product(base_layer, x) + factor * update
            return result + turned.to(result.dtype)
        row = result if bias is None else result - bias
        made = _Turned.apply(row, x, a, b, self.weight, square, scaling)  # type: ignore[no-untyped-call]
        return made if bias is None else made + bias

    def _square(
        self,
        base_layer: Any,
        lora_A: torch.Tensor,  # noqa: N803
        lora_B: torch.Tensor,  # noqa: N803
        scaling: float,
    ) -> torch.Tensor:
        """‖W + sBA‖² of each row."""
        a, b = lora_A.float(), lora_B.float()
        inner = _rows(base_layer, lora_A).float()
        # In place, and into what is there: else autocast would round all of it to BF16.
        gram = torch.mm(a, a.T, out=inner.new_empty(a.shape[0], a.shape[0]))
        inner.addmm_(b, gram, alpha=scaling / 2).mul_(b)
        square = self.square.clone().addmv_(inner, inner.new_full((a.shape[0],), 2 * scaling))
        # Rounding may leave a row that the update cancels a little below zero.
        return square.clamp_min_(torch.finfo(square.dtype).tiny)


class _Together(torch.autograd.Function):
    """magnitude / √square ⊙ (x Wᵀ + s·(x Aᵀ) Bᵀ), where W is not trained.

    For the gradient it keeps its own output, which the model keeps anyway: plain operations would
    keep the sum as well, a tensor as large for each module.
    """

    @staticmethod
    def forward(  # noqa: PLR0917 - torch hands them over by position
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        a: torch.Tensor,
        b: torch.Tensor,
        magnitude: torch.Tensor,
        square: Callable[[], torch.Tensor],
        scaling: float,
    ) -> torch.Tensor:
        rows, kept = frozen_product.forward(x, weight, None, a, b, scaling)
        # Asked for only now: the product has brought the weight near to the processor.
        factor = square().rsqrt_().mul_(magnitude)
        columns.scale_(rows, factor)
        output = rows.view(*x.shape[:-1], -1)
        ctx.save_for_backward(*kept, magnitude, factor, output)
        ctx.scaling, ctx.of_x, ctx.of_adapter = scaling, x.dtype, a.dtype
        return output

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        *saved, magnitude, factor, output = ctx.saved_tensors
        (given,) = gradients
        of_rows, of_logarithm = columns.gradients(
            given.flatten(0, -2), output.flatten(0, -2), factor
        )
        kept, of_x = Kept(*saved), ctx.needs_input_grad[0]
        made = frozen_product.backward(of_rows, kept, ctx.scaling, of_x=of_x)
        x = None if made.x is None else made.x.to(ctx.of_x).view(*given.shape[:-1], -1)
        of_a, of_b = made.a.to(ctx.of_adapter), made.b.to(ctx.of_adapter)
        return x, None, of_a, of_b, of_logarithm / magnitude, None, None


class _Turned(torch.autograd.Function):
    """magnitude / √square ⊙ (row + s·x Aᵀ Bᵀ), written over the row; it keeps its own output."""

    @staticmethod
    def forward(  # noqa: PLR0917 - torch hands them over by position
        ctx: Any,
        row: torch.Tensor,
        x: torch.Tensor,
        a: torch.Tensor,
        b: torch.Tensor,
        magnitude: torch.Tensor,
        square: torch.Tensor,
        scaling: float,
    ) -> torch.Tensor:
        dtype = row.dtype  # that of products under autocast, where x comes in FP32
        flat = x.flatten(0, -2).to(dtype)
        thin = times(flat, a.to(dtype)).mul_(scaling)
        factor = magnitude * square.rsqrt()
        output = added(ctx, row, thin, b.to(dtype))
        columns.scale_(output.flatten(0, -2), factor)
        ctx.save_for_backward(flat, thin, a, b, magnitude, factor, output)
        ctx.scaling, ctx.x = scaling, (x.shape, x.dtype)
        return output

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        flat, thin, a, b, magnitude, factor, output = ctx.saved_tensors
        (given,) = gradients
        of_rows, of_logarithm = columns.gradients(
            given.flatten(0, -2), output.flatten(0, -2), factor
        )
        of_thin = times(of_rows, b.to(flat.dtype).T).mul_(ctx.scaling)
        shape, dtype = ctx.x
        of_x = None
        if ctx.needs_input_grad[1]:
            of_x = times(of_thin, a.to(flat.dtype).T).view(shape).to(dtype)
        of_a, of_b = times(of_thin.T, flat.T), gradient_of_b(of_rows, thin)
        of_row, of_magnitude = of_rows.view(given.shape), of_logarithm / magnitude
        return of_row, of_x, of_a.to(a.dtype), of_b.to(b.dtype), of_magnitude, None, None


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
        module: Any,
        active_adapter: str,
        x: torch.Tensor,
        result: torch.Tensor | None,
        **kwargs: Any,
    ) -> torch.Tensor:
        dropout, dropped = module.lora_dropout[active_adapter], drops(module)
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
    def forward(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        plainly = not (args or kwargs or drops(self)) and is_alone(self)
        if plainly and is_frozen(self.base_layer, computed(x)):
            return FactoredVariant.forward(self, "default", x, None)
        theirs: torch.Tensor = super().forward(x, *args, **kwargs)
        return theirs

    def resolve_lora_variant(self, **kwargs: Any) -> FactoredVariant:
        return FactoredVariant()


def _product(base_layer: Any, x: torch.Tensor) -> torch.Tensor:
    """x Wᵀ, by whatever the layer is."""
    bias = getattr(base_layer, "bias", None)
    result: torch.Tensor = base_layer(x)
    return result if bias is None else result - bias


def _rows(base_layer: Any, a: torch.Tensor) -> torch.Tensor:
    """W Aᵀ, (rows of W, rank), by whatever the layer is."""
    weight: torch.Tensor = base_layer.weight
    if is_plain(base_layer) and weight.dtype == a.dtype and weight.dim() == 2:
        return times(weight, a)
    return _product(base_layer, a).T


def _row_squares(base_layer: Any) -> torch.Tensor:
    """‖W‖² of each row, FP32."""
    weight: torch.Tensor = base_layer.weight
    if is_plain(base_layer):
        return weight.float().square().sum(dim=1)
    width = base_layer.in_features
    columns = torch.zeros(base_layer.out_features, device=weight.device)
    for first in range(0, width, _ROWS):
        some = torch.eye(min(_ROWS, width - first), width, device=weight.device)
        columns += _product(base_layer, some.roll(first, dims=1)).float().square().sum(dim=0)
    return columns
