"""Which models an export can be made of; combinations.py knows the recipe alone. Needs no torch."""

import json
from collections.abc import Callable, Iterator

from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from finetune_trainer.base_model import BaseModel
from finetune_trainer.recipe import Export, MethodType, Recipe

GENAI_ARCHITECTURES = frozenset({"llama", "mistral", "phi3", "qwen2", "qwen3"})
"""Of those that onnxruntime-genai's model builder makes, those that the tests compare with
PyTorch; by model_type of transformers, as all below."""

_HEAD_MULTIPLE = 16
"""Of ONNX Runtime's grouped-query attention on processors."""

GGUF_ARCHITECTURES = {
    "llama": "llama",
    "mistral": "llama",
    "phi3": "phi3",
    "qwen2": "qwen2",
    "qwen3": "qwen3",
}
"""What llama.cpp calls them."""

_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
_THE_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_PRE_TOKENIZERS = {
    ("ByteLevel",): "gpt-2",
    ("Digits", "ByteLevel"): "smollm",
    (_CONTRACTIONS + r"\p{N}{1,3}" + _THE_REST, "ByteLevel"): "llama-bpe",
    (_CONTRACTIONS + r"\p{N}" + _THE_REST, "ByteLevel"): "qwen2",
}
"""llama.cpp's name by what a tokenizer does before it merges bytes: the regular expression of a
split, or the name of another step. Source: llama-vocab.cpp."""


def problems(base: BaseModel, recipe: Recipe) -> list[str]:
    """Every reason, in the user's spelling; empty if there is none."""
    wanted = recipe.output.conversions
    found = [
        f"output.exports {export} cannot be made of this model, because {reason}: "
        f"{_INSTEAD[export]}"
        for export in wanted
        for reason in _REASONS.get(export, _nothing)(base)
    ]
    return [*_quantized(base, recipe), *found] if wanted else []


def genai_reasons(base: BaseModel) -> Iterator[str]:
    """Why the model builder of onnxruntime-genai cannot make it."""
    config = base.config.get_text_config()
    if config.model_type not in GENAI_ARCHITECTURES:
        known = ", ".join(sorted(GENAI_ARCHITECTURES))
        yield f"its architecture {config.model_type} is none of {known}"
        return
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    if size % _HEAD_MULTIPLE:
        yield f"its attention heads have {size} numbers, no multiple of {_HEAD_MULTIPLE}"


def pre_tokenizer(tokenizer: PreTrainedTokenizerBase) -> str | None:
    """llama.cpp's name for how text is split; None where it is none of those known here."""
    described = json.loads(tokenizer.backend_tokenizer.to_str())
    steps = described["pre_tokenizer"] or {}
    bytewise = described["model"]["type"] == "BPE" and not described["model"].get("byte_fallback")
    # NFC is left out by llama.cpp too: text that people type has it already.
    normal = (described["normalizer"] or {"type": "NFC"})["type"] == "NFC"
    each = steps.get("pretokenizers", [steps])
    names = tuple(step.get("pattern", {}).get("Regex") or step.get("type", "") for step in each)
    return _PRE_TOKENIZERS.get(names) if bytewise and normal else None


def _gguf_reasons(base: BaseModel) -> Iterator[str]:
    config = base.config.get_text_config()
    if config.model_type not in GGUF_ARCHITECTURES:
        known = ", ".join(sorted(GGUF_ARCHITECTURES))
        yield f"its architecture {config.model_type} is none of {known}"
    rope = (getattr(config, "rope_parameters", None) or {}).get("rope_type", "default")
    if rope != "default":
        yield f"its positions are scaled ({rope})"
    if pre_tokenizer(base.tokenizer()) is None:
        yield "its tokenizer splits text in a way that is not known here"


def _quantized(base: BaseModel, recipe: Recipe) -> Iterator[str]:
    merges = recipe.method.type is not MethodType.FULL
    if merges and getattr(base.config, "quantization_config", None) is not None:
        yield (
            f"output.exports {', '.join(recipe.output.conversions)}: the weights of the model's "
            "files are quantized, and nothing can be merged into them: name the model as it was "
            "before, and let quantization.type quantize it"
        )


def _nothing(_: BaseModel) -> Iterator[str]:
    return iter(())


_REASONS: dict[Export, Callable[[BaseModel], Iterator[str]]] = {
    Export.ONNX_ADAPTER: genai_reasons,
    Export.AI_TOOLKIT: genai_reasons,
    Export.GGUF: _gguf_reasons,
}
_INSTEAD = {
    Export.ONNX_ADAPTER: "name ONNX",
    Export.AI_TOOLKIT: "name ONNX",
    Export.GGUF: "name Merged, and convert that with llama.cpp",
}
