"""The base model, as far as it can be known without its weights. Needs no torch; engine/loading.py
loads it."""

import copy
import json
import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from safetensors import SafetensorError, safe_open
from transformers import AutoConfig, AutoTokenizer, PreTrainedConfig
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    MODEL_FOR_QUESTION_ANSWERING_MAPPING_NAMES,
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
    MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES,
)
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from finetune_trainer.errors import ConfigurationError
from finetune_trainer.heads import Head


@dataclass(frozen=True)
class _Known:
    """The architectures that transformers has with a head."""

    model_types: Collection[str]
    lacks: str
    """What is said of an architecture that is not among them."""


_KNOWN = {
    Head.CAUSAL_LM: _Known(
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        "generates no text: choose a causal language model",
    ),
    Head.SEQUENCE_CLASSIFICATION: _Known(
        MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
        "cannot classify texts: choose a model such as BERT",
    ),
    Head.TOKEN_CLASSIFICATION: _Known(
        MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES,
        "cannot classify words: choose a model such as BERT",
    ),
    Head.SPAN: _Known(
        # transformers gives decoders such a head, but they would have to say where an answer begins
        # before they have read it, and many of these classes load no weights of a base model.
        MODEL_FOR_QUESTION_ANSWERING_MAPPING_NAMES.keys()
        - (MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.keys() - MODEL_FOR_MASKED_LM_MAPPING_NAMES.keys()),
        "cannot find answers in a text: choose a model such as BERT",
    ),
}

_POSITIONS_AFTER_PAD = ("roberta", "xlm-roberta", "camembert")
"""Architectures that count positions from after the id of their pad token."""

_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")


@dataclass(frozen=True)
class BaseModel:
    """A folder with config.json, a tokenizer and safetensors, found to be usable."""

    path: Path
    config: PreTrainedConfig
    head: Head = Head.CAUSAL_LM

    @property
    def positions(self) -> int | None:
        """Tokens of the longest sequence that it was made for; None where there is no bound."""
        config = self.config.get_text_config()
        positions = getattr(config, "max_position_embeddings", None)
        if positions is not None and config.model_type in _POSITIONS_AFTER_PAD:
            positions -= config.pad_token_id + 1
        return positions

    def configured(self, settings: Mapping[str, object]) -> PreTrainedConfig:
        """Its configuration, with what a task wants of it."""
        config = copy.deepcopy(self.config)
        for name, value in settings.items():
            setattr(config, name, value)
        return config

    def tokenizer(self) -> PreTrainedTokenizerBase:
        """
        Raises:
            ConfigurationError: there is none, or it knows tokens that the model does not.
        """
        try:
            tokenizer = AutoTokenizer.from_pretrained(self.path, local_files_only=True)
        except (OSError, ValueError, ImportError) as error:
            raise ConfigurationError(f"the model's tokenizer cannot be read: {error}") from error
        if len(tokenizer) > self._vocabulary:
            raise ConfigurationError(
                f"the tokenizer has {len(tokenizer)} tokens, the model only {self._vocabulary}: "
                "they do not belong together"
            )
        return cast("PreTrainedTokenizerBase", tokenizer)

    def parameters(self) -> int:
        """Numbers in its files."""
        return sum(math.prod(shape) for _, shape in self._tensors())

    def linear_modules(self) -> list[str]:
        """Names of the linear modules but the language-model head."""
        return list(self.linear_shapes())

    def linear_shapes(self) -> dict[str, list[int]]:
        """Shapes of their weights, by name.

        Told by the shapes of the weights: of what has two dimensions, a vocabulary's rows belong to
        embeddings or to the head, and other embeddings are called so.
        """
        return {
            name.removesuffix(".weight"): shape
            for name, shape in self._tensors()
            if name.endswith(".weight")
            and len(shape) == 2
            and shape[0] != self._vocabulary
            and "embed" not in name
        }

    @property
    def _vocabulary(self) -> int:
        size: int = self.config.get_text_config().vocab_size
        return size

    def _tensors(self) -> Iterator[tuple[str, list[int]]]:
        """Names and shapes, from the headers of the files."""
        for file in sorted(self.path.glob("*.safetensors")):
            with safe_open(file, framework="np") as tensors:
                for name in tensors.keys():  # noqa: SIM118 - not a mapping
                    yield name, tensors.get_slice(name).get_shape()


def open_base_model(path: Path, max_length: int, head: Head = Head.CAUSAL_LM) -> BaseModel:
    """Check everything about a model that needs no weights.

    Raises:
        ConfigurationError: no such architecture, pickled or broken weights, or a maxLength that
            the model was not made for.
    """
    base = BaseModel(path, _read_config(path, _KNOWN[head]), head)
    _check_weights(path)
    if base.positions is not None and max_length > base.positions:
        raise ConfigurationError(
            f"training.maxLength {max_length} is more than the {base.positions} positions of the "
            f"model: set it to {base.positions} or less"
        )
    return base


def _read_config(path: Path, known: _Known) -> PreTrainedConfig:
    try:
        named = json.loads((path / "config.json").read_bytes())
        model_type = named["model_type"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(
            f"model.storageUri holds no model: its config.json is missing or names no model_type "
            f"({error})"
        ) from error
    if model_type not in known.model_types:
        raise ConfigurationError(
            f"the model's architecture {model_type!r} is unknown or {known.lacks} "
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
            with safe_open(file, framework="np") as tensors:
                tensors.keys()
        except (OSError, SafetensorError) as error:
            raise ConfigurationError(
                f"the model's {file.name} is broken ({error}): fetch the model again"
            ) from error
