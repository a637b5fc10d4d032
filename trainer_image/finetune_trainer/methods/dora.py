"""DoRA: LoRA turns the rows of a weight, a trained magnitude gives them their length."""

import torch
from peft import LoraConfig, PeftConfig

from finetune_trainer.methods import low_rank
from finetune_trainer.methods.adapters import Adapter
from finetune_trainer.methods.factored_dora import FactoredLinear
from finetune_trainer.recipe import Recipe


class DoRAMethod(Adapter):
    """Trained with the norm factored; what is saved is PEFT's own DoRA."""

    def config(self, model: torch.nn.Module, recipe: Recipe) -> PeftConfig:
        config = LoraConfig(**low_rank.arguments(model, recipe), use_dora=True)
        # PEFT's documented way, public in all but name.
        config._register_custom_module(_quantized(model) | {torch.nn.Linear: FactoredLinear})
        return config

    def rates(self, model: torch.nn.Module, recipe: Recipe) -> dict[str, float]:
        return low_rank.rates(model, recipe)


def _quantized(model: torch.nn.Module) -> dict[type[torch.nn.Module], type[torch.nn.Module]]:
    """First, because they are linear modules as well."""
    if not getattr(model, "is_quantized", False):
        return {}
    # bitsandbytes is loaded by those who quantize.
    from finetune_trainer.methods.quantized_dora import FACTORED  # noqa: PLC0415

    return FACTORED
