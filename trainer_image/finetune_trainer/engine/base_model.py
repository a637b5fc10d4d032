"""The base model: what can be known from its small files, and loading it."""

import copy
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError, safe_open
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_QUESTION_ANSWERING_MAPPING_NAMES,
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
    MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES,
)
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from finetune_trainer.engine.attention import choose_attention
from finetune_trainer.engine.quantization import compute_alike, quantization_config
from finetune_trainer.errors import ConfigurationError
from finetune_trainer.heads import Head
from finetune_trainer.recipe import QuantizationType

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Factory:
    """How transformers makes models with a head."""

    auto: Any
    """transformers leaves its factories untyped."""
    architectures: Mapping[str, str]
    lacks: str
    """What is said of an architecture that it does not know."""


_FACTORIES = {
    Head.CAUSAL_LM: _Factory(
        AutoModelForCausalLM,
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        "generates no text: choose a causal language model",
    ),
    Head.SEQUENCE_CLASSIFICATION: _Factory(
        AutoModelForSequenceClassification,
        MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
        "cannot classify texts: choose a model such as BERT",
    ),
    Head.TOKEN_CLASSIFICATION: _Factory(
        AutoModelForTokenClassification,
        MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES,
        "cannot classify words: choose a model such as BERT",
    ),
    Head.SPAN: _Factory(
        AutoModelForQuestionAnswering,
        MODEL_FOR_QUESTION_ANSWERING_MAPPING_NAMES,
        "cannot find answers in a text: choose a model such as BERT",
    ),
}

_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")


@dataclass(frozen=True)
class BaseModel:
    """A folder with config.json, a tokenizer and safetensors, found to be usable."""

    path: Path
    config: PreTrainedConfig
    head: Head = Head.CAUSAL_LM

    @property
    def published_dtype(self) -> torch.dtype:
        """The number format of its files."""
        named = self.config.dtype
        return named if isinstance(named, torch.dtype) else torch.float32

    def tokenizer(self) -> PreTrainedTokenizerBase:
        """
        Raises:
            ConfigurationError: there is none, or it knows tokens that the model does not.
        """
        try:
            tokenizer = AutoTokenizer.from_pretrained(self.path, local_files_only=True)
        except (OSError, ValueError, ImportError) as error:
            raise ConfigurationError(f"the model's tokenizer cannot be read: {error}") from error
        if len(tokenizer) > self.config.get_text_config().vocab_size:
            raise ConfigurationError(
                f"the tokenizer has {len(tokenizer)} tokens, the model only "
                f"{self.config.get_text_config().vocab_size}: they do not belong together"
            )
        return cast("PreTrainedTokenizerBase", tokenizer)

    def linear_modules(self) -> list[str]:
        """Names of the linear modules but the language-model head, without reading weights."""
        with torch.device("meta"):
            model: PreTrainedModel = _FACTORIES[self.head].auto.from_config(self.config)
        head = model.get_output_embeddings()  # type: ignore[no-untyped-call]
        return [
            name
            for name, module in model.named_modules()
            if isinstance(module, torch.nn.Linear) and module is not head
        ]

    def load(
        self,
        dtype: torch.dtype,
        device: torch.device,
        quantization: QuantizationType = QuantizationType.NONE,
        labels: Sequence[str] = (),
    ) -> torch.nn.Module:
        """The model with its weights, on the device, frozen; with `labels` for a head that has
        classes. What of a head is not in the files is drawn at random."""
        model: torch.nn.Module = _FACTORIES[self.head].auto.from_pretrained(
            self.path,
            config=self._config_for(labels),
            dtype=dtype,
            quantization_config=quantization_config(quantization, dtype),
            device_map={"": device},
            attn_implementation=choose_attention(device, dtype)
            if self.head is Head.CAUSAL_LM
            else "sdpa",
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
        )
        compute_alike(model)
        return model.requires_grad_(False)

    def _config_for(self, labels: Sequence[str]) -> PreTrainedConfig:
        config = copy.deepcopy(self.config)
        if labels:
            config.id2label = dict(enumerate(labels))
            config.label2id = {label: index for index, label in enumerate(labels)}
        return config


def open_base_model(path: Path, max_length: int, head: Head = Head.CAUSAL_LM) -> BaseModel:
    """Check everything about a model that needs no weights.

    Raises:
        ConfigurationError: no such architecture, pickled or broken weights, or a maxLength that
            the model was not made for.
    """
    config = _read_config(path, _FACTORIES[head])
    _check_weights(path)
    positions = getattr(config.get_text_config(), "max_position_embeddings", None)
    if positions is not None and max_length > positions:
        raise ConfigurationError(
            f"training.maxLength {max_length} is more than the {positions} positions of the "
            f"model: set it to {positions} or less"
        )
    return BaseModel(path, config, head)


def _read_config(path: Path, factory: _Factory) -> PreTrainedConfig:
    try:
        named = json.loads((path / "config.json").read_bytes())
        model_type = named["model_type"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(
            f"model.storageUri holds no model: its config.json is missing or names no model_type "
            f"({error})"
        ) from error
    if model_type not in factory.architectures:
        raise ConfigurationError(
            f"the model's architecture {model_type!r} is unknown or {factory.lacks} "
            "that transformers implements (code in repositories is not run)"
        )
    try:
        config = AutoConfig.from_pretrained(path, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ConfigurationError(f"the model's config.json cannot be used: {error}") from error
    return cast("PreTrainedConfig", config)


def _check_weights(path: Path) -> None:
    weights = sorted(path.glob("*.safetensors"))
    if not weights:
        pickles = sorted(file.name for pattern in _PICKLES for file in path.glob(pattern))
        raise ConfigurationError(
            f"the model holds only pickled weights ({', '.join(pickles)}), which can run code when "
            "read: choose a revision with safetensors, or convert it"
            if pickles
            else "the model holds no *.safetensors weights"
        )
    for file in weights:
        try:
            with safe_open(file, framework="pt") as tensors:
                tensors.keys()
        except (OSError, SafetensorError) as error:
            raise ConfigurationError(
                f"the model's {file.name} is broken ({error}): fetch the model again"
            ) from error
