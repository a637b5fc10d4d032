"""What is measured: on processors, models of some hundred megabytes, so that two cores take
minutes; on a GPU and on fake tensors, models that people tune."""

from dataclasses import dataclass
from typing import Any

from finetune_trainer.recipe import Recipe

SHAPES: dict[str, dict[str, Any]] = {
    "llama": {
        "model_type": "llama",
        "vocab_size": 8192,
        "hidden_size": 512,
        "intermediate_size": 1536,
        "num_hidden_layers": 8,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "max_position_embeddings": 4096,
        "tie_word_embeddings": True,
    },
    "phi3": {
        "model_type": "phi3",
        "vocab_size": 4096,
        "hidden_size": 640,
        "intermediate_size": 1792,
        "num_hidden_layers": 6,
        "num_attention_heads": 10,
        "num_key_value_heads": 10,
        "max_position_embeddings": 4096,
        "tie_word_embeddings": False,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
    },
    "qwen3": {
        "model_type": "qwen3",
        "vocab_size": 16384,
        "hidden_size": 384,
        "intermediate_size": 1152,
        "num_hidden_layers": 10,
        "num_attention_heads": 6,
        "num_key_value_heads": 2,
        "head_dim": 64,
        "max_position_embeddings": 4096,
        "tie_word_embeddings": True,
    },
    "SmolLM2-135M": {
        "model_type": "llama",
        "vocab_size": 49152,
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "max_position_embeddings": 8192,
        "tie_word_embeddings": True,
    },
    "Phi-3-mini": {
        "model_type": "phi3",
        "vocab_size": 32064,
        "hidden_size": 3072,
        "intermediate_size": 8192,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 32,
        "max_position_embeddings": 4096,
        "tie_word_embeddings": False,
        "pad_token_id": 32000,
    },
    "Llama-3.1-8B": {
        "model_type": "llama",
        "vocab_size": 128256,
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "max_position_embeddings": 131072,
        "tie_word_embeddings": False,
    },
}

_MEMBERS: dict[str, dict[str, Any]] = {
    "LoRA": {"lora": {"rank": 16, "alpha": 32, "dropout": 0.0}},
    "DoRA": {"dora": {"rank": 16, "alpha": 32, "dropout": 0.0}},
    "IA3": {"ia3": {}},
    "VeRA": {"vera": {"rank": 64, "dropout": 0.0}},
    "PromptTuning": {"promptTuning": {"virtualTokens": 16}},
    "Full": {},
}


@dataclass(frozen=True)
class Configuration:
    """One run: rows of `documents` equal documents, one for each pass."""

    shape: str
    method: str
    quantization: str = "None"
    precision: str = "FP32"
    tokens: int = 1024
    documents: int = 4
    supervised: float = 0.5
    passes: int = 2
    activation_checkpointing: bool = False
    device: str = "CPU"

    @property
    def name(self) -> str:
        quantized = "" if self.quantization == "None" else f"/{self.quantization}"
        again = " again" if self.activation_checkpointing else ""
        return f"{self.shape} {self.method}{quantized} {self.precision} {self.tokens}{again}"

    def recipe(self) -> Recipe:
        return Recipe.model_validate(
            {
                "job": {"namespace": "bench", "name": "memory", "generation": 1},
                "model": {"storageUri": "file:///model"},
                "task": "Completion",
                "dataset": {"train": [{"storageUri": "file:///data"}], "format": "Text"},
                "method": {"type": self.method, **_MEMBERS[self.method]},
                "quantization": {"type": self.quantization},
                "training": {
                    "epochs": 1,
                    "learningRate": 1e-4,
                    "schedule": "Constant",
                    "warmupSteps": 0,
                    "maxLength": self.tokens,
                    "packing": True,
                    "tokensPerBatch": self.tokens * self.passes,
                    "precision": self.precision,
                    "seed": 1,
                },
                "compute": {
                    "device": self.device,
                    "nodes": 1,
                    "gpusPerNode": int(self.device == "GPU"),
                },
                "checkpoint": {"intervalSteps": 1, "intervalSeconds": 1, "keep": 1},
            }
        )


def on_cpu() -> list[Configuration]:
    """Two passes of each, of models that two processors load in seconds."""
    shapes = ("llama", "phi3", "qwen3", "SmolLM2-135M")
    made = [Configuration(shape, method) for method in ("LoRA", "Full") for shape in shapes]
    made += [Configuration("llama", method) for method in ("DoRA", "IA3", "VeRA", "PromptTuning")]
    made += [Configuration("phi3", method) for method in ("DoRA", "IA3")]
    made += [
        Configuration("llama", method, precision="BF16")
        for method in ("LoRA", "DoRA", "VeRA", "Full")
    ]
    made += [
        Configuration("llama", method, quantization)
        for method in ("LoRA", "DoRA")
        for quantization in ("NF4", "Int8")
    ]
    made += [Configuration("phi3", "LoRA", "NF4", "BF16")]
    made += [Configuration("llama", "LoRA", tokens=tokens) for tokens in (256, 2048)]
    made += [Configuration("qwen3", "LoRA", tokens=2048, precision="BF16")]
    made += [Configuration("qwen3", "LoRA", supervised=1.0, tokens=2048)]
    made += [Configuration("llama", "LoRA", documents=1)]
    return made


def on_gpu() -> list[Configuration]:
    """A step of each in BF16, of a row that fills a GPU or of a short one."""

    def made(shape: str, method: str, quantization: str = "None", **others: Any) -> Configuration:
        settings: dict[str, Any] = {"precision": "BF16", "tokens": 4096} | others
        return Configuration(shape, method, quantization, device="GPU", **settings)

    small, middle, large = "SmolLM2-135M", "Phi-3-mini", "Llama-3.1-8B"
    return [
        made(small, "LoRA"),
        made(small, "LoRA", precision="FP32"),
        made(small, "Full"),
        made(middle, "LoRA"),
        made(middle, "LoRA", tokens=1024),
        made(middle, "LoRA", activation_checkpointing=True),
        made(middle, "LoRA", "NF4"),
        made(middle, "LoRA", "Int8"),
        made(middle, "DoRA"),
        made(middle, "DoRA", "NF4", activation_checkpointing=True),
        made(middle, "IA3", activation_checkpointing=True),
        made(middle, "Full", activation_checkpointing=True),
        made(large, "LoRA", activation_checkpointing=True),
        made(large, "LoRA", "NF4", activation_checkpointing=True),
        made(large, "LoRA", "NF4", tokens=1024),
    ]


def on_fake_tensors() -> list[Configuration]:
    """Models that people tune, larger than the processors that they are counted on."""

    def made(shape: str, method: str, tokens: int, *, again: bool = False) -> Configuration:
        return Configuration(
            shape, method, precision="BF16", tokens=tokens, activation_checkpointing=again
        )

    middle, large = "Phi-3-mini", "Llama-3.1-8B"
    return [
        made(middle, "LoRA", 4096),
        made(middle, "LoRA", 1024),
        made(middle, "LoRA", 4096, again=True),
        made(middle, "DoRA", 4096),
        made(middle, "IA3", 4096),
        made(middle, "VeRA", 1024),
        made(middle, "PromptTuning", 1024),
        made(middle, "Full", 1024),
        made(large, "LoRA", 1024),
        made(large, "LoRA", 4096, again=True),
        made(large, "DoRA", 1024, again=True),
        made(large, "Full", 1024, again=True),
    ]
