"""Frozen linear layers in four or eight bits, by bitsandbytes: on GPUs and on processors."""

from collections.abc import Sequence
from typing import Any, cast

import torch
from transformers import BitsAndBytesConfig

from finetune_trainer.recipe import QuantizationType


def quantization_config(
    wanted: QuantizationType, dtype: torch.dtype, spared: Sequence[str] | None = None
) -> BitsAndBytesConfig | None:
    """What `from_pretrained` is told; embeddings and heads are never quantized.

    Args:
        wanted: the number format of the linear layers.
        dtype: of everything else, and of the arithmetic.
        spared: modules that stay as they are; when not given, the language-model head.
    """
    configuration = cast("Any", BitsAndBytesConfig)  # transformers leaves it untyped
    if wanted is QuantizationType.NF4:
        made = configuration(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype,
            # ZeRO-3 shards parameters of one type only: four-bit numbers travel as this one.
            bnb_4bit_quant_storage=dtype,
            llm_int8_skip_modules=spared,
        )
    elif wanted is QuantizationType.INT8:
        made = configuration(load_in_8bit=True, llm_int8_skip_modules=spared)
    else:
        return None
    return cast("BitsAndBytesConfig", made)


def compute_alike(model: torch.nn.Module) -> None:
    """Let evaluation compute as training does.

    Without gradients, bitsandbytes repacks four-bit weights on processors for a kernel that
    computes in bfloat16 whatever is asked for.
    """
    if not getattr(model, "is_quantized", False):
        return
    # bitsandbytes is loaded by those who quantize.
    from bitsandbytes.nn.modules import Linear4bit  # noqa: PLC0415

    for module in model.modules():
        if isinstance(module, Linear4bit):
            module.support_avx512bf16_for_cpu = False
