"""Full: every parameter of the model."""

from pathlib import Path
from typing import cast

import torch
from transformers import PreTrainedModel

from finetune_trainer.manifest import ArtifactKind
from finetune_trainer.recipe import Precision, Recipe


class FullMethod:
    """The model is the artifact, in the number format of the base model."""

    kind = ArtifactKind.MODEL

    def load_dtype(self, precision: Precision) -> torch.dtype:
        # Also for BF16: the arithmetic is cast, the weights that are updated are not.
        return torch.float32

    def apply(self, model: torch.nn.Module, recipe: Recipe) -> torch.nn.Module:
        return model.requires_grad_(True)

    def rates(self, model: torch.nn.Module, recipe: Recipe) -> dict[str, float]:
        return {}

    def finish(self, model: torch.nn.Module, published: torch.dtype) -> None:
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.copy_(parameter.to(published))

    def save(
        self, model: torch.nn.Module, recipe: Recipe, directory: Path, published: torch.dtype
    ) -> None:
        cast("PreTrainedModel", model.to(published)).save_pretrained(directory)
