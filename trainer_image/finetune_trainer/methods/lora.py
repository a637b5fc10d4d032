"""LoRA: low-rank adapters beside frozen linear modules."""

from pathlib import Path
from typing import cast

import torch
from peft import LoraConfig, PeftModel, get_peft_model

from finetune_trainer.manifest import ArtifactKind
from finetune_trainer.recipe import LoRA as LoRARecipe
from finetune_trainer.recipe import Precision, Recipe, TargetModulesPreset

_PRESETS = {TargetModulesPreset.ALL_LINEAR: "all-linear"}
"""PEFT's words."""


class LoRA:
    """The base model stays as it is; the adapter is the artifact."""

    kind = ArtifactKind.ADAPTER

    def load_dtype(self, precision: Precision) -> torch.dtype:
        return torch.bfloat16 if precision is Precision.BF16 else torch.float32

    def problems(self, modules: list[str], recipe: Recipe) -> list[str]:
        wanted = _lora(recipe).target_modules
        known = sorted({name.rpartition(".")[2] for name in modules})
        return [
            f"method.lora.targetModules: {target} matches no linear module of the model, which has "
            f"{', '.join(known)}"
            for target in wanted
            if not any(f".{name}".endswith(f".{target}") for name in modules)
        ]

    def apply(self, model: torch.nn.Module, recipe: Recipe) -> torch.nn.Module:
        lora = _lora(recipe)
        torch.manual_seed(recipe.training.seed)
        config = LoraConfig(
            task_type="CAUSAL_LM",
            r=lora.rank,
            lora_alpha=lora.alpha,
            lora_dropout=lora.dropout,
            target_modules=lora.target_modules or _PRESETS[lora.target_modules_preset],
        )
        # Adapters of a bfloat16 model are kept in FP32 by PEFT: small updates would be lost.
        return cast("torch.nn.Module", get_peft_model(model, config))

    def finish(self, model: torch.nn.Module, published: torch.dtype) -> None:
        pass

    def save(
        self, model: torch.nn.Module, recipe: Recipe, directory: Path, published: torch.dtype
    ) -> None:
        peft_model = cast("PeftModel", model)
        # The name people know, not the folder it was fetched to.
        name = recipe.model.storage_uri.removeprefix("hf://")
        peft_model.peft_config["default"].base_model_name_or_path = name
        peft_model.peft_config["default"].revision = recipe.model.revision or None
        peft_model.save_pretrained(str(directory), save_embedding_layers=False)


def _lora(recipe: Recipe) -> LoRARecipe:
    if recipe.method.lora is None:
        raise TypeError("the recipe's method is not LoRA")
    return recipe.method.lora
