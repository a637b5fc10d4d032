"""Load the base model with its weights."""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    PreTrainedConfig,
)

from finetune_trainer.base_model import BaseModel
from finetune_trainer.engine.attention import choose_attention
from finetune_trainer.engine.quantization import compute_alike, quantization_config
from finetune_trainer.heads import Head
from finetune_trainer.recipe import QuantizationType

_FACTORIES: dict[Head, Any] = {  # transformers leaves them untyped
    Head.CAUSAL_LM: AutoModelForCausalLM,
    Head.SEQUENCE_CLASSIFICATION: AutoModelForSequenceClassification,
    Head.TOKEN_CLASSIFICATION: AutoModelForTokenClassification,
    Head.SPAN: AutoModelForQuestionAnswering,
}


def load_model(
    base: BaseModel,
    dtype: torch.dtype,
    device: torch.device,
    quantization: QuantizationType = QuantizationType.NONE,
    labels: Sequence[str] = (),
    *,
    attention: str = "",
) -> torch.nn.Module:
    """The model with its weights, on the device, frozen.

    Args:
        base: where it lies and what it ends in.
        dtype: of what is not quantized.
        device: on which it will compute.
        quantization: of its linear modules.
        labels: of a head that has classes. What of a head is not in the files is drawn at random.
        attention: an implementation of transformers'; empty for the one that keeps the documents
            of a row apart, where the model generates.
    """
    default = choose_attention(device, dtype) if base.head is Head.CAUSAL_LM else "sdpa"
    model: torch.nn.Module = _FACTORIES[base.head].from_pretrained(
        base.path,
        config=_config_for(base, labels),
        dtype=dtype,
        quantization_config=quantization_config(quantization, dtype),
        device_map={"": device},
        attn_implementation=attention or default,
        use_safetensors=True,
        local_files_only=True,
        trust_remote_code=False,
    )
    compute_alike(model)
    return model.requires_grad_(False)


def published_dtype(base: BaseModel) -> torch.dtype:
    """The number format of its files."""
    named = base.config.dtype
    return named if isinstance(named, torch.dtype) else torch.float32


def _config_for(base: BaseModel, labels: Sequence[str]) -> PreTrainedConfig:
    config = copy.deepcopy(base.config)
    if labels:
        config.id2label = dict(enumerate(labels))
        config.label2id = {label: index for index, label in enumerate(labels)}
    return config
