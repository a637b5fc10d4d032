"""LoRA: low-rank adapters beside frozen linear modules."""

import json
from pathlib import Path
from typing import Any, cast

import torch
from peft import LoraConfig, PeftConfig, PeftModel
from peft.utils import SAFETENSORS_WEIGHTS_NAME
from safetensors.torch import load_file, save_file

from finetune_trainer.methods import low_rank
from finetune_trainer.methods.adapters import Adapter
from finetune_trainer.methods.fused_lora import FusedLinear
from finetune_trainer.methods.loftq import restore_what_quantization_lost
from finetune_trainer.recipe import Initialization, LoRA, Recipe

_PISSA = "pissa_niter_16"
"""PEFT's word for PiSSA by a randomised decomposition: seconds a model, where the exact one takes
as long a layer, at no measured loss (PiSSA, appendix B)."""

_START = "_adapter_at_start"


class LoRAMethod(Adapter):
    """Default starts as the base model itself. PiSSA takes the principal part of each weight into
    the adapter, LoftQ what quantization has lost. Both start with an update that is not zero, so
    what is published is the difference to it: an adapter of twice the rank, for the base model as
    it is."""

    def config(self, model: torch.nn.Module, recipe: Recipe) -> PeftConfig:
        pissa = _lora(recipe).initialization is Initialization.PISSA
        start: Any = _PISSA if pissa else True
        config = LoraConfig(**low_rank.arguments(model, recipe), init_lora_weights=start)
        if not getattr(model, "is_quantized", False):
            # PEFT's documented way, public in all but name.
            config._register_custom_module({torch.nn.Linear: FusedLinear})
        return config

    def apply(self, model: torch.nn.Module, recipe: Recipe) -> torch.nn.Module:
        adapted = super().apply(model, recipe)
        initialization = _lora(recipe).initialization
        if initialization is Initialization.LOFTQ:
            restore_what_quantization_lost(adapted, _lora(recipe))
        if initialization is not Initialization.DEFAULT:
            start = {
                name: parameter.detach().cpu().clone()
                for name, parameter in adapted.named_parameters()
                if parameter.requires_grad
            }
            setattr(adapted, _START, start)
        return adapted

    def rates(self, model: torch.nn.Module, recipe: Recipe) -> dict[str, float]:
        return low_rank.rates(model, recipe)

    def save(
        self, model: torch.nn.Module, recipe: Recipe, directory: Path, published: torch.dtype
    ) -> None:
        super().save(model, recipe, directory, published)
        if _lora(recipe).initialization is not Initialization.DEFAULT:
            _publish_difference(cast("PeftModel", model), _lora(recipe), directory)


def _publish_difference(model: PeftModel, lora: LoRA, directory: Path) -> None:
    """s·(B A - B₀ A₀) = [s·B, -s·B₀] [A; A₀]: exact, and with the scale 1."""
    start: dict[str, torch.Tensor] = getattr(model, _START)
    file = directory / SAFETENSORS_WEIGHTS_NAME
    made = {}
    for name, value in load_file(file).items():
        if ".lora_" not in name:
            made[name] = value  # of a head, which is published as it is
            continue
        before = start[name.replace(".weight", ".default.weight")]
        if ".lora_A." in name:
            made[name] = torch.cat([value, before], dim=0)
        else:
            made[name] = torch.cat([value, -before], dim=1) * lora.scaling
    save_file(made, file, metadata={"format": "pt"})
    path = directory / "adapter_config.json"
    config = json.loads(path.read_text())
    config |= {"r": 2 * lora.rank, "lora_alpha": 2 * lora.rank}
    config |= {"use_rslora": False, "init_lora_weights": True}
    path.write_text(json.dumps(config, indent=2, sort_keys=True))


def _lora(recipe: Recipe) -> LoRA:
    if recipe.method.lora is None:
        raise TypeError("the recipe's method is not LoRA")
    return recipe.method.lora
