"""Matrix products in FP32, by oneDNN where MKL leaves half of a processor unused.

torch asks MKL for them, which uses AVX-512 on Intel's processors only: two cores of an AMD EPYC
(Zen 5) reach 225 GFLOPS by it, and 500 by oneDNN, which torch brings as well and takes itself for
other number formats and for graphs that are compiled.
"""

from functools import cache
from pathlib import Path
from typing import Any, TypeGuard

import torch

_CPUINFO = Path("/proc/cpuinfo")


@cache
def by_onednn() -> bool:
    """Whether this processor is one of those; never depends on how fast anything was, so that a
    training that goes on elsewhere on such a machine computes the same."""
    wide = "AVX512" in torch.backends.cpu.get_cpu_capability()
    available: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return wide and available and not _is_intel()


@cache
def _multiplies_bfloat16() -> bool:
    """Whether oneDNN does, which wants AVX-512 or its like for it."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def times(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """x Wᵀ, not to be differentiated.

    Args:
        x: (…, inputs)
        weight: (outputs, inputs), or the transpose of such a matrix.

    Returns:
        (…, outputs)
    """
    if _fits(x) and _fits(weight) and by_onednn():
        # What lies otherwise is multiplied by oneDNN's reference, which takes a hundred times as
        # long.
        laid = weight if weight.is_contiguous() or weight.T.is_contiguous() else weight.contiguous()
        made: torch.Tensor = torch.ops.mkldnn._linear_pointwise(x, laid, None, "none", [], "")
        return made.detach()  # of three dimensions it is a view, which autograd lets nobody change
    return torch.nn.functional.linear(x, weight)


def plus(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, other: torch.Tensor
) -> torch.Tensor:
    """x Wᵀ + b + other in BF16 on a processor, rounded once; not to be differentiated.

    A product that is rounded first lies on BF16's grid, and whatever is smaller than half a step of
    it is lost when it is added: after nine steps of LoRA that was half of what had been learned.
    """
    if _multiplies_bfloat16():
        made: torch.Tensor = torch.ops.mkldnn._linear_pointwise.binary(
            x, other, weight, bias, "add"
        )
        return made
    wide = None if bias is None else bias.float()
    return torch.nn.functional.linear(x.float(), weight.float(), wide).add_(other).to(x.dtype)


def linear(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """x Wᵀ + b, with gradients; the same arguments as `times`."""
    if torch.is_autocast_enabled(x.device.type) or not (_fits(x) and _fits(weight)):
        return torch.nn.functional.linear(x, weight, bias)
    product: Any = _Product
    made: torch.Tensor = product.apply(x, weight)
    return made if bias is None else made + bias


def use_in(model: torch.nn.Module) -> None:
    """Put layers that multiply so in the places of torch's own."""
    if not by_onednn():
        return
    found = [
        (name, module)
        for name, module in model.named_modules()
        if type(module) is torch.nn.Linear and _fits(module.weight)
    ]
    for name, module in found:
        model.set_submodule(name, Linear(module))


def is_plain(layer: object) -> TypeGuard[torch.nn.Linear]:
    """Whether a layer multiplies by its weight as it is: bitsandbytes' layers are torch's too."""
    return type(layer) in (torch.nn.Linear, Linear)


class Linear(torch.nn.Linear):
    """With the parameters of the layer that it stands for."""

    def __init__(self, plain: torch.nn.Linear) -> None:
        super().__init__(plain.in_features, plain.out_features, bias=False, device="meta")
        self.weight, self.bias = plain.weight, plain.bias

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return linear(input, self.weight, self.bias)


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x if ctx.needs_input_grad[1] else None, weight)
        return times(x, weight)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        (gradient,) = gradients
        of_x = times(gradient, weight.T) if ctx.needs_input_grad[0] else None
        if x is None:
            return of_x, None
        return of_x, times(gradient.flatten(0, -2).T, x.flatten(0, -2).T)


def _fits(tensor: torch.Tensor) -> bool:
    return tensor.device.type == "cpu" and tensor.dtype is torch.float32 and tensor.numel() > 0


def _is_intel() -> bool:
    try:
        return "GenuineIntel" in _CPUINFO.read_text(encoding="utf-8")
    except OSError:
        return False
