"""GGUF: one file for llama.cpp and what stands on it, and a Modelfile with which Ollama takes it.

Written with the format's own package; its names of tensors and keys are used. What that package
leaves to a converter is here: which numbers an architecture has, the order of rotated rows in
Llama's attention, and (in export_rules.py) which of llama.cpp's ways to split text a tokenizer
follows. Models for which one of these is not known are refused. Source: the GGUF specification.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import gguf
import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig, PreTrainedConfig
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from finetune_trainer.engine.loading import published_dtype
from finetune_trainer.export.comparison import (
    by_torch,
    computed,
    difference,
    perplexities,
    verified,
)
from finetune_trainer.export.material import Material
from finetune_trainer.export_rules import GGUF_ARCHITECTURES, pre_tokenizer

FILE = "model.gguf"
MODELFILE = "Modelfile"

USE = f"""\
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

model = AutoModelForCausalLM.from_pretrained(
    "FOLDER", gguf_file="{FILE}", quantization_config=GgufConfig(dequantize=True)
)
tokenizer = AutoTokenizer.from_pretrained("FOLDER", gguf_file="{FILE}")
"""

_NUMBERS = {name: number for number, name in gguf.MODEL_ARCH_NAMES.items()}

_FORMATS = {
    torch.float32: gguf.GGMLQuantizationType.F32,
    torch.float16: gguf.GGMLQuantizationType.F16,
    torch.bfloat16: gguf.GGMLQuantizationType.BF16,
}
_FILE_TYPES = {
    torch.float32: gguf.LlamaFileType.ALL_F32,
    torch.float16: gguf.LlamaFileType.MOSTLY_F16,
    torch.bfloat16: gguf.LlamaFileType.MOSTLY_BF16,
}


def write(material: Material, folder: Path) -> dict[str, float]:
    """Read back by transformers, whose reader is not ours, and compared."""
    merged = computed(by_torch(material.load_merged()), material.prompts)
    _write_file(material, folder / FILE)
    (folder / MODELFILE).write_text(_modelfile(material), encoding="utf-8")
    factory: Any = AutoModelForCausalLM
    model = factory.from_pretrained(
        folder,
        gguf_file=FILE,
        quantization_config=GgufConfig(dequantize=True),
        dtype=torch.float32,
    )
    found = computed(by_torch(model.eval()), material.prompts)
    _verify_tokens(material.tokenizer, folder)
    return verified(difference(merged, found), "GGUF") | perplexities(perplexity=found)


def _write_file(material: Material, path: Path) -> None:
    config = material.base.config.get_text_config()
    called = GGUF_ARCHITECTURES[config.model_type]
    writer = gguf.GGUFWriter(path, called, use_temp_file=True)
    dtype = published_dtype(material.base)
    writer.add_type("model")
    writer.add_name(material.name)
    writer.add_file_type(_FILE_TYPES[dtype])
    _add_numbers(writer, config)
    _add_vocabulary(writer, material.tokenizer, material.merged, config.vocab_size)
    names = gguf.get_tensor_name_map(_NUMBERS[called], config.num_hidden_layers)
    for name, tensor in _weights(material.merged):
        known = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if known is None:
            raise ValueError(f"GGUF has no name for {name}")
        turned = _turned(name, tensor, config) if called == "llama" else tensor
        # Vectors are read in FP32 only.
        wanted = _FORMATS[torch.float32 if tensor.dim() == 1 else dtype]
        array = gguf.quants.quantize(turned.float().numpy(), wanted)
        writer.add_tensor(known, array, raw_dtype=wanted)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_numbers(writer: gguf.GGUFWriter, config: PreTrainedConfig) -> None:
    heads = config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // heads
    writer.add_vocab_size(config.vocab_size)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(size)
    writer.add_value_length(size)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    rope: Mapping[str, Any] = config.rope_parameters
    writer.add_rope_freq_base(rope["rope_theta"])
    writer.add_rope_dimension_count(int(size * rope.get("partial_rotary_factor", 1)))
    if config.model_type == "phi3" and config.sliding_window:
        writer.add_sliding_window(config.sliding_window)


def _add_vocabulary(
    writer: gguf.GGUFWriter, tokenizer: PreTrainedTokenizerBase, folder: Path, size: int
) -> None:
    added = tokenizer.added_tokens_decoder
    names = {at: text for text, at in tokenizer.get_vocab().items()}
    kinds = {
        at: gguf.TokenType.CONTROL if token.special else gguf.TokenType.USER_DEFINED
        for at, token in added.items()
    }
    # Embeddings may have more rows than there are tokens.
    unused = gguf.TokenType.UNUSED
    known = gguf.TokenType.NORMAL
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre_tokenizer(tokenizer) or "")
    writer.add_token_list([names.get(at, f"[PAD{at}]") for at in range(size)])
    writer.add_token_types([kinds.get(at, known if at in names else unused) for at in range(size)])
    writer.add_token_merges(gguf.SpecialVocab(folder, load_merges=True).merges)
    special = {
        writer.add_bos_token_id: tokenizer.bos_token_id,
        writer.add_eos_token_id: tokenizer.eos_token_id,
        writer.add_pad_token_id: tokenizer.pad_token_id,
        writer.add_unk_token_id: tokenizer.unk_token_id,
    }
    for add, token in special.items():
        if token is not None:
            add(token)
    starts = tokenizer("a")["input_ids"][0]
    writer.add_add_bos_token(starts == tokenizer.bos_token_id)
    if tokenizer.chat_template:
        writer.add_chat_template(tokenizer.chat_template)


def _weights(folder: Path) -> Iterator[tuple[str, torch.Tensor]]:
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118 - not a mapping
                yield name, tensors.get_tensor(name)


def _turned(name: str, tensor: torch.Tensor, config: PreTrainedConfig) -> torch.Tensor:
    """llama.cpp rotates neighbours, transformers the two halves of a head."""
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    count = heads.get(name.split(".")[-2])
    if count is None:
        return tensor
    halves = tensor.reshape(count, 2, tensor.shape[0] // count // 2, *tensor.shape[1:])
    return halves.transpose(1, 2).reshape(tensor.shape)


def _modelfile(material: Material) -> str:
    tokenizer = material.tokenizer
    lines = [f"FROM ./{FILE}"]
    if tokenizer.chat_template:
        prompt = tokenizer.apply_chat_template(
            [{"role": "user", "content": "{{ .Prompt }}"}],
            add_generation_prompt=True,
            tokenize=False,
        )
        lines.append(f'TEMPLATE """{prompt}"""')
    if tokenizer.eos_token:
        lines.append(f"PARAMETER stop {json.dumps(tokenizer.eos_token)}")
    return "\n".join(lines) + "\n"


def _verify_tokens(ours: PreTrainedTokenizerBase, folder: Path) -> None:
    """
    Raises:
        ArithmeticError: the vocabulary in the file is another one.
    """
    theirs = AutoTokenizer.from_pretrained(folder, gguf_file=FILE).get_vocab()
    if any(theirs.get(text) != at for text, at in ours.get_vocab().items()):
        raise ArithmeticError("the tokens in the GGUF file are not those of the model")
