"""What exports are made from, and what they are compared with."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from peft import PeftModel
from peft.tuners.tuners_utils import BaseTunerLayer
from transformers import PreTrainedModel
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from finetune_trainer.base_model import BaseModel
from finetune_trainer.engine.loading import load_model, published_dtype
from finetune_trainer.export.comparison import Prompts
from finetune_trainer.manifest import ArtifactKind
from finetune_trainer.recipe import Recipe

_SHARD = "5GB"
_CPU = torch.device("cpu")


@dataclass
class Material:
    """A finished training, on the processor: no more than one model is in memory at a time."""

    recipe: Recipe
    base: BaseModel
    kind: ArtifactKind
    """What was trained: an adapter, or a whole model."""
    trained: Path
    """Its folder."""
    settings: Mapping[str, object]
    """Of the model's configuration, as the task wants it: its classes, for example."""
    tokenizer: PreTrainedTokenizerBase
    prompts: Prompts
    """Held-out examples where there are some."""
    scratch: Path
    """A folder for what is not kept."""
    _merged: Path | None = field(default=None, init=False)

    @property
    def name(self) -> str:
        return self.recipe.job.name

    @property
    def merged(self) -> Path:
        """The whole model as transformers reads it, in the number format of the base model."""
        if self._merged is None and self.kind is ArtifactKind.MODEL:
            self._merged = self.trained
        elif self._merged is None:
            self._merged = self.scratch / "merged"
            self.write_merged(self._merged)
        return self._merged

    def use_merged(self, folder: Path) -> None:
        """Take a merged model that was made before."""
        self._merged = folder

    def write_merged(self, folder: Path) -> None:
        """Merge into the base model as it was published, not as it was quantized for training."""
        adapted = self._adapted(published_dtype(self.base))
        for module in adapted.modules():
            if isinstance(module, BaseTunerLayer):
                _merge(module)
        with warnings.catch_warnings():
            # Each layer is merged already; what is left to it is heads, and taking PEFT away.
            warnings.filterwarnings("ignore", "All adapters are already merged")
            model = cast("PreTrainedModel", adapted.merge_and_unload())
        _end_as_taught(model, self.tokenizer)
        model.save_pretrained(folder, max_shard_size=_SHARD)
        self.tokenizer.save_pretrained(folder)

    def tuned(self) -> torch.nn.Module:
        """What was trained, in FP32, as PEFT or transformers load it."""
        if self.kind is ArtifactKind.ADAPTER:
            return self._adapted(torch.float32)
        return self._load(self.trained, torch.float32)

    def load_merged(self) -> torch.nn.Module:
        """The merged model, computing in FP32."""
        return self._load(self.merged, torch.float32)

    def _adapted(self, dtype: torch.dtype) -> PeftModel:
        base = cast("PreTrainedModel", self._load(self.base.path, dtype))
        adapted: PeftModel = PeftModel.from_pretrained(base, str(self.trained))
        return adapted.eval()

    def _load(self, folder: Path, dtype: torch.dtype) -> torch.nn.Module:
        model = BaseModel(folder, self.base.config, self.base.head)
        return load_model(model, dtype, _CPU, settings=self.settings, attention="sdpa").eval()


@torch.no_grad()
def _merge(layer: Any) -> None:
    """In FP32, and rounded once: PEFT rounds the update first where the base is in half."""
    base = layer.get_base_layer()
    dtype = base.weight.dtype
    base.weight.data = base.weight.data.float()
    layer.merge()
    base.weight.data = base.weight.data.to(dtype)


def _end_as_taught(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Training taught the tokenizer's end token; the base model may have named another."""
    generation: Any = model.generation_config
    if generation is None:
        return
    named = generation.eos_token_id
    ends = {*(named if isinstance(named, list) else [named]), tokenizer.eos_token_id} - {None}
    generation.eos_token_id = min(ends) if len(ends) == 1 else sorted(ends)
