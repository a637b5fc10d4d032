"""Factored DoRA on what bitsandbytes has quantized."""

from typing import Any

import bitsandbytes.nn.modules as quantized
import torch
from peft.tuners.lora import Linear4bit, Linear8bitLt

from finetune_trainer.methods.factored_dora import FactoredVariant


class Factored4bit(Linear4bit):  # type: ignore[misc]
    def resolve_lora_variant(self, **kwargs: Any) -> FactoredVariant:
        return FactoredVariant()


class Factored8bit(Linear8bitLt):  # type: ignore[misc]
    def resolve_lora_variant(self, **kwargs: Any) -> FactoredVariant:
        return FactoredVariant()


FACTORED: dict[type[torch.nn.Module], type[torch.nn.Module]] = {
    quantized.Linear4bit: Factored4bit,
    quantized.Linear8bitLt: Factored8bit,
}
