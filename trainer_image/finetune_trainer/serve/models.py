"""The models in memory: one base with its adapters, and whole models beside it."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer

from finetune_trainer.engine import precision
from finetune_trainer.engine.world import World
from finetune_trainer.errors import ConfigurationError
from finetune_trainer.processors import usable
from finetune_trainer.recipe import Precision
from finetune_trainer.serve.config import ServeConfig

ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
MODEL_CONFIG = "config.json"
TOKENIZER_CONFIG = "tokenizer_config.json"

_UNREADABLE = (OSError, ValueError, KeyError, SafetensorError)
"""What the libraries raise for files that are missing, broken or of something else."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Served:
    """What answers under one name."""

    name: str
    model: Any
    """A transformers model, or a PEFT model around it; several names may share it."""
    adapter: str | None
    """The adapter that is switched on; None for the model as it is."""
    tokenizer: Any

    @property
    def context(self) -> int:
        """Tokens that prompt and answer may have together."""
        return int(self.model.config.max_position_embeddings)

    @property
    def end_tokens(self) -> list[int]:
        """Tokens that end an answer: the model's own, and that of this tokenizer, which is the one
        that training taught."""
        configured = self.model.generation_config.eos_token_id
        tokens = configured if isinstance(configured, list) else [configured]
        known = {*tokens, self.tokenizer.eos_token_id} - {None}
        return sorted(known)

    @contextmanager
    def active(self) -> Iterator[Any]:
        """The model computing as this name; for one thread at a time."""
        if self.adapter is not None:
            self.model.set_adapter(self.adapter)
        alone = self.adapter is None and isinstance(self.model, PeftModel)
        with self.model.disable_adapter() if alone else nullcontext(), torch.inference_mode():
            yield self.model


def load(config: ServeConfig) -> dict[str, Served]:
    """Load every model of the configuration, by name.

    Raises:
        ConfigurationError: a folder is no model or adapter, or one that does not fit its base.
    """
    torch.set_num_threads(usable())
    dtype = _dtype(config.precision)
    base = _model(config.base_model.path, dtype)
    tokenizer = _tokenizer(config.base_model.path)
    models: dict[str, Served] = {}
    adapted: Any = None
    for revision in config.revisions:
        path = revision.path
        if path is None:
            models[revision.name] = Served(revision.name, base, None, tokenizer)
        elif (path / ADAPTER_CONFIG).is_file():
            adapted = _adapter(base if adapted is None else adapted, revision.name, path)
            own = _tokenizer(path) if (path / TOKENIZER_CONFIG).is_file() else tokenizer
            models[revision.name] = Served(revision.name, adapted, revision.name, own)
        else:
            models[revision.name] = Served(
                revision.name, _model(path, dtype), None, _tokenizer(path)
            )
    name = config.base_model.name
    models[name] = Served(name, base, None, tokenizer)
    if adapted is None:
        return models
    # PEFT has put its layers into the base, so that without an adapter it has to be asked as well.
    return {
        name: Served(name, adapted, None, served.tokenizer) if served.model is base else served
        for name, served in models.items()
    }


def _dtype(wanted: Precision) -> torch.dtype:
    alone = World(rank=0, size=1, device=torch.device("cpu"))
    resolved = precision.resolve(wanted, alone)
    return torch.bfloat16 if resolved is Precision.BF16 else torch.float32


def _model(path: Path, dtype: torch.dtype) -> Any:
    if not (path / MODEL_CONFIG).is_file():
        raise ConfigurationError(f"{path} holds no model: it has no {MODEL_CONFIG}")
    log.info("loading the model %s as %s", path, dtype)
    try:
        model = AutoModelForCausalLM.from_pretrained(
            path, dtype=dtype, use_safetensors=True, local_files_only=True
        )
    except _UNREADABLE as error:
        raise ConfigurationError(f"the model {path} cannot be loaded: {error}") from error
    model.requires_grad_(False)
    return model


def _tokenizer(path: Path) -> Any:
    try:
        return AutoTokenizer.from_pretrained(path, local_files_only=True)
    except _UNREADABLE as error:
        raise ConfigurationError(f"the tokenizer of {path} cannot be loaded: {error}") from error


def _adapter(model: Any, name: str, path: Path) -> Any:
    if not (path / ADAPTER_WEIGHTS).is_file():
        raise ConfigurationError(f"{path} has no {ADAPTER_WEIGHTS}; pickled weights are not read")
    log.info("loading the adapter %s from %s", name, path)
    try:
        if isinstance(model, PeftModel):
            model.load_adapter(str(path), adapter_name=name, torch_device="cpu")
            return model
        return PeftModel.from_pretrained(
            model, str(path), adapter_name=name, torch_device="cpu"
        ).eval()
    except (*_UNREADABLE, RuntimeError) as error:
        raise ConfigurationError(f"the adapter {path} does not fit the base: {error}") from error
