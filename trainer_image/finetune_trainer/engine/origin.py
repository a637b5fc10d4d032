"""Which model a training starts from, told apart by what its numbers depend on.

What is computed of that model is kept in the workspace under such an identity. An attempt that goes
on, and a job whose learning rate has changed, compute nothing of it again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from finetune_trainer.heads import HEADS, Head
from finetune_trainer.methods import METHODS
from finetune_trainer.recipe import Precision, QuantizationType, Recipe


@dataclass(frozen=True)
class Origin:
    """The base model, or that with the adapter that training goes on from."""

    weights: Sequence[Path]
    """Folders of the base model and of the adapter."""
    recipe: Recipe
    precision: Precision
    device: torch.device

    def identity(self, quantization: QuantizationType) -> str:
        """Of files their size and time, because hashing gigabytes takes as long as the work.

        Args:
            quantization: of the base model, as it is loaded to be computed with.
        """
        files = [file for folder in self.weights for file in sorted(folder.glob("*.safetensors"))]
        stats = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
        training = self.recipe.training
        numbers = METHODS[self.recipe.method.type].load_dtype(self.precision)
        # A new head is drawn by the seed.
        seed = training.seed if HEADS[self.recipe.task] is not Head.CAUSAL_LM else None
        settings = (quantization, numbers, self.precision, self.device.type, training.max_length)
        return repr((stats, settings, seed, torch.__version__))
