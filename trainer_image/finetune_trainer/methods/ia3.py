"""IA3: a trained factor for each output of a module, and nothing else."""

from typing import cast

import torch
from peft import IA3Config, PeftConfig
from transformers import PreTrainedModel

from finetune_trainer.heads import HEADS
from finetune_trainer.methods.adapters import Adapter, pattern, targeted
from finetune_trainer.recipe import Recipe


class IA3Method(Adapter):
    """Modules that end a feed-forward block (down_proj, fc2, …) have their inputs scaled, as in the
    paper, all others their outputs. PEFT knows them by name for some architectures; here they are
    found by shape, so that fused ones (Phi-3's gate_up_proj) and new ones are right as well."""

    def config(self, model: torch.nn.Module, recipe: Recipe) -> PeftConfig:
        modules = targeted(model, recipe)
        config = cast("PreTrainedModel", model).config
        text = config.get_text_config()
        # DistilBERT has a word of its own for it.
        width = getattr(text, "intermediate_size", None) or text.hidden_dim
        ends = [name for name, module in modules.items() if module.in_features == width]
        return IA3Config(
            task_type=HEADS[recipe.task],
            target_modules=pattern(modules),
            feedforward_modules=pattern(ends),
        )
