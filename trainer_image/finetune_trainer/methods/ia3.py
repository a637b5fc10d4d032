"""IA3: a trained factor for each output of a module, and nothing else."""

from typing import Any, cast

import torch
from peft import IA3Config, PeftConfig
from peft.tuners.ia3.layer import IA3Layer
from transformers import PreTrainedModel

from finetune_trainer.heads import HEADS
from finetune_trainer.methods.adapters import Adapter, pattern, targeted
from finetune_trainer.recipe import QuantizationType, Recipe


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

    def apply(self, model: torch.nn.Module, recipe: Recipe) -> torch.nn.Module:
        made = super().apply(model, recipe)
        if recipe.quantization.type is not QuantizationType.NONE:
            for module in made.modules():
                if isinstance(module, IA3Layer):
                    cast("torch.nn.Module", module).register_forward_hook(_in_the_type_of_its_input)
        return made


def _in_the_type_of_its_input(
    _: torch.nn.Module, inputs: tuple[Any, ...], output: torch.Tensor
) -> torch.Tensor:
    """PEFT's modules for quantized weights give FP32, the factor's type, where all others give what
    they are given: every later addition would be FP32 too, and BERT's norms refuse it in BF16."""
    given: torch.Tensor = inputs[0]
    return output.to(given.dtype)
