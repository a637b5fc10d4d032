"""Load the base model with its weights."""

from collections.abc import Iterable, Mapping
from typing import Any, cast

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    PreTrainedModel,
)

from finetune_trainer.base_model import BaseModel
from finetune_trainer.engine.attention import register_attention
from finetune_trainer.engine.quantization import compute_alike, quantization_config
from finetune_trainer.errors import ConfigurationError
from finetune_trainer.heads import Head
from finetune_trainer.recipe import QuantizationType

_FACTORIES: dict[Head, Any] = {  # transformers leaves them untyped
    Head.CAUSAL_LM: AutoModelForCausalLM,
    Head.SEQUENCE_CLASSIFICATION: AutoModelForSequenceClassification,
    Head.TOKEN_CLASSIFICATION: AutoModelForTokenClassification,
    Head.SPAN: AutoModelForQuestionAnswering,
}

POOLER = "pooler"
"""What BERT-likes have before the head of a sequence; files of models trained otherwise lack it."""


def load_model(
    base: BaseModel,
    dtype: torch.dtype,
    device: torch.device,
    quantization: QuantizationType = QuantizationType.NONE,
    settings: Mapping[str, object] | None = None,
    *,
    attention: str = "",
    in_shares: bool = False,
) -> torch.nn.Module:
    """The model with its weights, frozen but for what is not in the files: that is
    of a new head, and drawn at random.

    Args:
        base: where it lies and what it ends in.
        dtype: of what is not quantized.
        device: on which it will compute.
        quantization: of its linear modules.
        settings: of the configuration, as the task wants it.
        attention: an implementation of transformers'; empty for the one that keeps the documents
            of a row apart, where the model generates.
        in_shares: whether processes share the weights out among them as they are loaded; see
            sharding.py for the context to do so in.

    Raises:
        ConfigurationError: the files lack more than a head.
    """
    factory, generates = _FACTORIES[base.head], base.head is Head.CAUSAL_LM
    default = register_attention() if generates else "sdpa"
    config = base.configured(settings or {})
    spared = None
    if not generates and quantization is not QuantizationType.NONE:
        with torch.device("meta"):
            spared = [*head_modules(factory.from_config(config)), rf".*\.{POOLER}"]
    model, found = factory.from_pretrained(
        base.path,
        config=config,
        dtype=dtype,
        quantization_config=quantization_config(quantization, dtype, spared),
        device_map=None if in_shares else {"": device},
        attn_implementation=attention or default,
        use_safetensors=True,
        local_files_only=True,
        trust_remote_code=False,
        output_loading_info=True,
        # A head for other classes is replaced.
        ignore_mismatched_sizes=not generates,
    )
    if in_shares:
        _save_as_loaded(model)
    compute_alike(model)
    model.requires_grad_(False)
    if not generates:
        drawn = {*found["missing_keys"], *(name for name, *_ in found["mismatched_keys"])}
        _allow_new_heads_only(model, drawn)
        for name in drawn:
            model.get_parameter(name).requires_grad_(True)
    return cast("torch.nn.Module", model)


def _save_as_loaded(model: Any) -> None:
    """Forget the renamings of tensors that did not apply, which transformers does unless weights
    are loaded in shares: saving would carry them out the other way round."""
    model._weight_conversions = [each for each in model._weight_conversions if each.was_used()]


def published_dtype(base: BaseModel) -> torch.dtype:
    """The number format of its files."""
    named = base.config.dtype
    return named if isinstance(named, torch.dtype) else torch.float32


def head_modules(model: torch.nn.Module) -> list[str]:
    """What a model has beside the base model that it shares with other tasks."""
    prefix = cast("PreTrainedModel", model).base_model_prefix
    return [
        name
        for name, module in model.named_children()
        if name != prefix and any(True for _ in module.parameters())
    ]


def belongs_to(name: str, modules: Iterable[str]) -> bool:
    """Whether a module or a parameter is one of these, or lies in one."""
    return any(f"{name}.".startswith(f"{each}.") for each in modules)


def _allow_new_heads_only(model: torch.nn.Module, drawn: Iterable[str]) -> None:
    head = head_modules(model)
    lost = [name for name in drawn if not belongs_to(name, head) and f".{POOLER}." not in name]
    if lost:
        raise ConfigurationError(
            f"the model's files hold no weights for {min(lost)} ({len(lost)} in all), or of another"
            " shape, so that it would begin with random ones: choose a model such as BERT for this"
            " task, or fetch the model again"
        )
