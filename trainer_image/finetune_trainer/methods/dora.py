"""DoRA: LoRA turns the rows of a weight, a trained magnitude gives them their length."""

import torch
from bitsandbytes.nn.modules import Linear4bit, Linear8bitLt
from peft import LoraConfig, PeftConfig

from finetune_trainer.methods import low_rank
from finetune_trainer.methods.adapters import Adapter
from finetune_trainer.methods.factored_dora import Factored4bit, Factored8bit, FactoredLinear
from finetune_trainer.recipe import Recipe


class DoRAMethod(Adapter):
    """Trained with the norm factored; what is saved is PEFT's own DoRA."""

    def config(self, model: torch.nn.Module, recipe: Recipe) -> PeftConfig:
        config = LoraConfig(**low_rank.arguments(recipe), use_dora=True)
        config._register_custom_module(  # PEFT's documented way, public in all but name
            {Linear4bit: Factored4bit, Linear8bitLt: Factored8bit, torch.nn.Linear: FactoredLinear}
        )
        return config

    def rates(self, model: torch.nn.Module, recipe: Recipe) -> dict[str, float]:
        return low_rank.rates(model, recipe)
