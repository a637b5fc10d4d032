"""LoftQ: the adapter starts as the best approximation of what quantization has taken away.

PEFT's own leaves alpha / rank out and wants a GPU.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import torch
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from peft.utils.integrations import dequantize_module_weight
from safetensors import safe_open
from transformers import PreTrainedModel

from finetune_trainer.errors import ConfigurationError
from finetune_trainer.recipe import LoRA

_ITERATIONS = 4
"""Power iterations of the randomised decomposition: quantization errors have a flat spectrum, of
which more would find no better part."""


@torch.no_grad()
def restore_what_quantization_lost(model: torch.nn.Module, lora: LoRA) -> None:
    """Set A and B so that s·B A is nearest to the original weight less the quantized one.

    Raises:
        ConfigurationError: the model's files do not name a weight as the model does.
    """
    peft_model = cast("PeftModel", model)
    base = cast("PreTrainedModel", peft_model.get_base_model())
    layers: dict[str, Any] = {
        f"{name}.weight": module
        for name, module in base.named_modules()
        if isinstance(module, LoraLayer)
    }
    for name, weight in _weights(Path(base.name_or_path or "")):
        # Files of a bare base model leave out under what name a task's model has it.
        if layer := layers.pop(name, layers.pop(f"{base.base_model_prefix}.{name}", None)):
            _approximate(layer, weight, lora)
    if layers:
        raise ConfigurationError(
            f"method.lora.initialization LoftQ needs the weights as they were, and the model's "
            f"files hold no {next(iter(layers))}: set initialization: Default"
        )


def _approximate(layer: Any, weight: torch.Tensor, lora: LoRA) -> None:
    held = dequantize_module_weight(layer.get_base_layer()).float()
    lost = weight.to(held.device).float() - held
    u, s, v = torch.svd_lowrank(lost / lora.scaling, q=lora.rank, niter=_ITERATIONS)
    root = s.sqrt()
    layer.lora_A["default"].weight.copy_((v * root).T)
    layer.lora_B["default"].weight.copy_(u * root)


def _weights(folder: Path) -> Iterator[tuple[str, torch.Tensor]]:
    """One after the other: the whole model would not fit, or it would not be quantized."""
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118 - not a mapping
                yield name, tensors.get_tensor(name)
