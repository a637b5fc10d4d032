"""VeRA: two trained vectors for each module around random matrices that all modules share."""

import torch
from peft import PeftConfig, VeraConfig

from finetune_trainer.heads import HEADS
from finetune_trainer.methods.adapters import Adapter, target_modules
from finetune_trainer.recipe import Recipe, VeRA


class VeRAMethod(Adapter):
    """The random matrices are saved with the adapter: made again from their seed, they would be
    others on another version of torch."""

    def config(self, model: torch.nn.Module, recipe: Recipe) -> PeftConfig:
        vera = _vera(recipe)
        return VeraConfig(
            task_type=HEADS[recipe.task],
            r=vera.rank,
            vera_dropout=vera.dropout,
            target_modules=target_modules(model, recipe),
            projection_prng_key=recipe.training.seed,
            save_projection=True,
        )


def _vera(recipe: Recipe) -> VeRA:
    if recipe.method.vera is None:
        raise TypeError("the recipe's method is not VeRA")
    return recipe.method.vera
