"""What LoRA and DoRA share: two thin matrices beside a frozen linear module."""

from typing import Any

import torch

from finetune_trainer.heads import HEADS
from finetune_trainer.methods.adapters import target_modules
from finetune_trainer.recipe import Recipe


def arguments(model: torch.nn.Module, recipe: Recipe) -> dict[str, Any]:
    """Of PEFT's LoraConfig."""
    low_rank = recipe.method.low_rank
    return {
        "task_type": HEADS[recipe.task],
        "r": low_rank.rank,
        "lora_alpha": low_rank.alpha,
        "lora_dropout": low_rank.dropout,
        "use_rslora": low_rank.rank_stabilized,
        "target_modules": target_modules(model, recipe),
    }


def rates(model: torch.nn.Module, recipe: Recipe) -> dict[str, float]:
    """LoRA+: B starts from zero and learns best at a multiple of the rate of A."""
    ratio = recipe.method.low_rank.learning_rate_ratio
    return {
        name: ratio
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and ".lora_B." in name and ratio != 1.0
    }
