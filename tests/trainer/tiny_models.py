"""Language models of a few kilobytes with random weights: tests wait for the trainer only."""

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    BertConfig,
    DistilBertConfig,
    LlamaConfig,
    MistralConfig,
    Phi3Config,
    PreTrainedConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
    RobertaConfig,
)

CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

ARCHITECTURES: dict[str, type[PreTrainedConfig]] = {
    "llama": LlamaConfig,
    "mistral": MistralConfig,
    "phi3": Phi3Config,
    "qwen2": Qwen2Config,
    "qwen3": Qwen3Config,
}


ENCODERS: dict[str, type[PreTrainedConfig]] = {
    "bert": BertConfig,
    "distilbert": DistilBertConfig,
    "roberta": RobertaConfig,
}

_SPECIAL = {"pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]", "unk_token": "[UNK]"}


def write_tokenizer(folder: Path, chat_template: str | None = CHAT_TEMPLATE) -> int:
    """A token for each byte, and two special ones. Returns their number."""
    vocabulary = {byte: at for at, byte in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    make: Any = PreTrainedTokenizerFast  # transformers leaves it untyped
    fast = make(
        tokenizer_object=tokenizer,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|im_end|>",
    )
    fast.chat_template = chat_template
    fast.save_pretrained(folder)
    return len(fast)


def write_model(folder: Path, architecture: str = "llama", **settings: Any) -> Path:
    """Weights, configuration, tokenizer and chat template, as of any model of the hub."""
    size = write_tokenizer(folder)
    values: dict[str, Any] = {
        "vocab_size": size,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
        "bos_token_id": size - 2,
        "eos_token_id": size - 1,
        "pad_token_id": size - 1,
        "dtype": torch.float32,
    } | settings
    torch.manual_seed(7)
    factory: Any = AutoModelForCausalLM  # transformers leaves its factories untyped
    factory.from_config(ARCHITECTURES[architecture](**values)).save_pretrained(folder)
    return folder


def write_encoder(folder: Path, architecture: str = "bert", **settings: Any) -> Path:
    """As write_model, but one that reads in both directions and has no head of its own."""
    size = _write_encoder_tokenizer(folder, segments=architecture == "bert")
    values: dict[str, Any] = {
        "vocab_size": size,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 260,
        "pad_token_id": 0,
        "dtype": torch.float32,
    } | settings
    if architecture == "distilbert":
        values |= {"hidden_dim": values["intermediate_size"]}
    torch.manual_seed(7)
    factory: Any = AutoModel
    factory.from_config(ENCODERS[architecture](**values)).save_pretrained(folder)
    return folder


def _write_encoder_tokenizer(folder: Path, *, segments: bool) -> int:
    bytes_ = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: at for at, token in enumerate([*_SPECIAL.values(), *bytes_])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])],
    )
    make: Any = PreTrainedTokenizerFast
    names = ["input_ids", "token_type_ids", "attention_mask"]
    fast = make(
        tokenizer_object=tokenizer,
        model_input_names=names if segments else [names[0], names[2]],
        **_SPECIAL,
    )
    fast.save_pretrained(folder)
    return len(fast)
