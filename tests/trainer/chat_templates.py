"""The message formats of four families of models, with tokenizers that treat them alike.

A template here produces the same borders of messages as the family's own; words and tokenizers are
ours. SmolLM2's tokenizer is the real one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from tokenizers.processors import TemplateProcessing
from transformers import AutoTokenizer, PreTrainedTokenizerFast

CHATML = (
    "{% if messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\\nBe helpful.<|im_end|>\\n' }}{% endif %}"
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)

PHI3 = (
    "{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>\\n' + message['content'] + '<|end|>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% else %}{{ eos_token }}{% endif %}"
)

LLAMA3 = (
    "{{ bos_token }}"
    "{% for message in messages %}"
    "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' }}"
    "{{ message['content'] | trim }}{{ '<|eot_id|>' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}"
)


@dataclass(frozen=True)
class Family:
    """A family of models, and the token that ends what its assistant says."""

    tokenizer: Callable[[Path], Any]
    end: str


def smollm2(real: Path) -> Any:
    return AutoTokenizer.from_pretrained(real)


def qwen(_: Path) -> Any:
    return _byte_level(CHATML, ["<|endoftext|>", "<|im_start|>", "<|im_end|>"], eos="<|im_end|>")


def llama3(_: Path) -> Any:
    special = ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>"]
    tokenizer = _byte_level(LLAMA3, [*special, "<|eot_id|>"], eos="<|eot_id|>")
    tokenizer.bos_token = "<|begin_of_text|>"
    backend = tokenizer.backend_tokenizer
    backend.post_processor = TemplateProcessing(
        single="<|begin_of_text|> $A",
        special_tokens=[("<|begin_of_text|>", backend.token_to_id("<|begin_of_text|>"))],
    )
    return tokenizer


def phi3(_: Path) -> Any:
    """As made with sentencepiece: a space before each text; borders swallow white space."""
    letters = [chr(code) for code in range(33, 127)]
    pieces = ["<unk>", "<0x0A>", "▁", *letters, *(f"▁{letter}" for letter in letters)]
    merges = [("▁", letter) for letter in letters]
    backend = Tokenizer(
        models.BPE(
            vocab={piece: at for at, piece in enumerate(pieces)},
            merges=merges,
            unk_token="<unk>",
            byte_fallback=True,
        )
    )
    backend.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    make: Any = PreTrainedTokenizerFast
    tokenizer = make(tokenizer_object=backend, eos_token="<|endoftext|>", unk_token="<unk>")
    borders = ["<|system|>", "<|user|>", "<|assistant|>", "<|end|>"]
    tokenizer.add_tokens(
        [AddedToken(border, rstrip=True, special=True, normalized=False) for border in borders],
        special_tokens=True,
    )
    tokenizer.chat_template = PHI3
    return tokenizer


FAMILIES = {
    "SmolLM2": Family(smollm2, "<|im_end|>"),
    "Qwen": Family(qwen, "<|im_end|>"),
    "Llama-3": Family(llama3, "<|eot_id|>"),
    "Phi-3": Family(phi3, "<|end|>"),
}


def _byte_level(template: str, special: list[str], eos: str) -> Any:
    vocabulary = {byte: at for at, byte in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    # Merges that reach over the border between a prompt and an answer, if anything lets them.
    vocabulary |= {"ĊĊ": len(vocabulary), "Ġt": len(vocabulary) + 1}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=[("Ċ", "Ċ"), ("Ġ", "t")]))
    # As in those families, line breaks are split off together.
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\s*[\r\n]+| ?\S+|\s+"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    backend.decoder = decoders.ByteLevel()
    make: Any = PreTrainedTokenizerFast
    tokenizer = make(tokenizer_object=backend, eos_token=eos)
    tokenizer.add_special_tokens({"extra_special_tokens": special})
    tokenizer.chat_template = template
    return tokenizer
