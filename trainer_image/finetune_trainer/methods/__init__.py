"""Which parameters are trained, a file each.

Adding a method: a file with the members of `TuningMethod`, and a line here. What of a recipe does
not fit a model is said in model_rules.py, which needs no torch.
"""

from pathlib import Path
from typing import Protocol

import torch

from finetune_trainer.manifest import ArtifactKind
from finetune_trainer.methods.dora import DoRAMethod
from finetune_trainer.methods.full import FullMethod
from finetune_trainer.methods.ia3 import IA3Method
from finetune_trainer.methods.lora import LoRAMethod
from finetune_trainer.methods.prompt_tuning import PromptTuningMethod
from finetune_trainer.methods.vera import VeRAMethod
from finetune_trainer.recipe import MethodType, Precision, Recipe


class TuningMethod(Protocol):
    """What the engine asks of a method."""

    kind: ArtifactKind

    def load_dtype(self, precision: Precision) -> torch.dtype:
        """In which format the weights of the base model are loaded."""

    def apply(self, model: torch.nn.Module, recipe: Recipe) -> torch.nn.Module:
        """Make the method's parameters trainable, in FP32, and all others not."""

    def rates(self, model: torch.nn.Module, recipe: Recipe) -> dict[str, float]:
        """Factor of the learning rate by name of the parameter; those not named have 1."""

    def finish(self, model: torch.nn.Module, published: torch.dtype) -> None:
        """Bring the weights to what will be published, before they are evaluated.

        `published` is the number format of the base model's files.
        """

    def save(
        self, model: torch.nn.Module, recipe: Recipe, directory: Path, published: torch.dtype
    ) -> None:
        """Write what was trained as safetensors, as PEFT or transformers read it."""


METHODS: dict[MethodType, TuningMethod] = {
    MethodType.LORA: LoRAMethod(),
    MethodType.DORA: DoRAMethod(),
    MethodType.IA3: IA3Method(),
    MethodType.VERA: VeRAMethod(),
    MethodType.PROMPT_TUNING: PromptTuningMethod(),
    MethodType.FULL: FullMethod(),
}
