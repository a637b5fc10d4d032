"""Which parameters are trained, a file each.

Adding a method: a file with the members of `TuningMethod`, and a line here.
"""

from pathlib import Path
from typing import Protocol

import torch

from finetune_trainer.manifest import ArtifactKind
from finetune_trainer.methods.full import Full
from finetune_trainer.methods.lora import LoRA
from finetune_trainer.recipe import MethodType, Precision, Recipe


class TuningMethod(Protocol):
    """What the engine asks of a method."""

    kind: ArtifactKind

    def load_dtype(self, precision: Precision) -> torch.dtype:
        """In which format the weights of the base model are loaded."""

    def problems(self, modules: list[str], recipe: Recipe) -> list[str]:
        """What of the recipe does not fit a model with linear modules of these names."""

    def apply(self, model: torch.nn.Module, recipe: Recipe) -> torch.nn.Module:
        """Make the method's parameters trainable, in FP32, and all others not."""

    def finish(self, model: torch.nn.Module, published: torch.dtype) -> None:
        """Bring the weights to what will be published, before they are evaluated.

        `published` is the number format of the base model's files.
        """

    def save(
        self, model: torch.nn.Module, recipe: Recipe, directory: Path, published: torch.dtype
    ) -> None:
        """Write what was trained as safetensors, as PEFT or transformers read it."""


METHODS: dict[MethodType, TuningMethod] = {
    MethodType.LORA: LoRA(),
    MethodType.FULL: Full(),
}
