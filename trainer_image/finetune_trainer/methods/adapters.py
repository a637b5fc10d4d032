"""What all methods share whose result is an adapter in PEFT's format."""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import torch
from peft import (
    PeftConfig,
    PeftModel,
    get_peft_model,
    get_peft_model_state_dict,
    set_peft_model_state_dict,
)
from peft.utils import SAFETENSORS_WEIGHTS_NAME
from safetensors.torch import load_file
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from finetune_trainer.engine.loading import belongs_to, head_modules
from finetune_trainer.errors import ConfigurationError
from finetune_trainer.heads import HEADS, Head
from finetune_trainer.manifest import ArtifactKind
from finetune_trainer.model_rules import is_target, unknown_targets
from finetune_trainer.recipe import Precision, Recipe, TargetModulesPreset

_PRESETS = {TargetModulesPreset.ALL_LINEAR: "all-linear"}
"""PEFT's words: every linear module but the output head, fused (qkv_proj) or not."""


class Adapter(ABC):
    """The base model stays as it is; the adapter is the artifact. The base of such methods."""

    kind = ArtifactKind.ADAPTER

    def load_dtype(self, precision: Precision) -> torch.dtype:
        return torch.bfloat16 if precision is Precision.BF16 else torch.float32

    @abstractmethod
    def config(self, model: torch.nn.Module, recipe: Recipe) -> PeftConfig:
        """PEFT's settings for this recipe."""

    def apply(self, model: torch.nn.Module, recipe: Recipe) -> torch.nn.Module:
        _refuse_unknown_targets(model, recipe)
        torch.manual_seed(recipe.training.seed)
        config = self.config(model, recipe)
        if whole := trained_whole(model, recipe):
            cast("Any", config).modules_to_save = whole  # not every method's config has it
        return in_fp32(get_peft_model(model, config))

    def rates(self, model: torch.nn.Module, recipe: Recipe) -> dict[str, float]:
        return {}

    def finish(self, model: torch.nn.Module, published: torch.dtype) -> None:  # noqa: B027
        """Most methods have nothing left to do."""

    def save(
        self, model: torch.nn.Module, recipe: Recipe, directory: Path, published: torch.dtype
    ) -> None:
        peft_model = cast("PeftModel", model)
        # The name people know, not the folder it was fetched to.
        name = recipe.model.storage_uri.removeprefix("hf://")
        peft_model.peft_config["default"].base_model_name_or_path = name
        peft_model.peft_config["default"].revision = recipe.model.revision or None
        peft_model.save_pretrained(str(directory), save_embedding_layers=False)


def _refuse_unknown_targets(model: torch.nn.Module, recipe: Recipe) -> None:
    """`check` knows the names in the files only, and transformers gives some modules others."""
    whole = trained_whole(model, recipe)
    linear = [
        name
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear | Conv1D) and not belongs_to(name, whole)
    ]
    if found := unknown_targets(recipe, linear):
        raise ConfigurationError("; ".join(found))


def load_adapter(model: torch.nn.Module, folder: Path) -> None:
    """Let training go on from an adapter that was saved before.

    Raises:
        ConfigurationError: it does not fit the method's, or holds values that are no numbers.
    """
    tensors = load_file(folder / SAFETENSORS_WEIGHTS_NAME)
    if broken := [name for name, value in tensors.items() if not value.isfinite().all()]:
        raise ConfigurationError(
            f"model.adapterUri: {broken[0]} holds values that are no numbers: choose another one"
        )
    peft_model = cast("PeftModel", model)
    expected = get_peft_model_state_dict(peft_model).keys()
    if expected != tensors.keys():
        differing = sorted(expected ^ tensors.keys())[0]
        raise ConfigurationError(
            f"model.adapterUri holds other tensors than the method trains, {differing} for one: "
            "choose an adapter that the same method has made for this model"
        )
    try:
        set_peft_model_state_dict(peft_model, tensors)
    except RuntimeError as error:  # of shapes
        raise ConfigurationError(
            f"model.adapterUri was made for another model: {error}; set model.storageUri to its "
            "base model"
        ) from error


def in_fp32(model: torch.nn.Module) -> torch.nn.Module:
    """Trained tensors in FP32 whatever the base has: in bfloat16 small updates would be lost."""
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    return model


def trained_whole(model: torch.nn.Module, recipe: Recipe) -> list[str]:
    """Modules that are trained and saved beside the adapter: a task's head, and whatever else the
    base model's files have lacked. A language-model head stays as it is."""
    if HEADS[recipe.task] is Head.CAUSAL_LM:
        return []
    head = head_modules(model)
    drawn = {
        name.rpartition(".")[0]
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and not belongs_to(name, head)
    }
    return [*head, *sorted(drawn)]


def target_modules(model: torch.nn.Module, recipe: Recipe) -> list[str] | str:
    """What PEFT is told to change."""
    if HEADS[recipe.task] is not Head.CAUSAL_LM:
        return pattern(targeted(model, recipe))  # PEFT's preset knows no other heads
    targets = recipe.method.targets
    return targets.target_modules or _PRESETS[targets.target_modules_preset]


def targeted(model: torch.nn.Module, recipe: Recipe) -> dict[str, torch.nn.Linear]:
    """The modules that are changed, by name."""
    wanted = recipe.method.targets.target_modules
    head = cast("PreTrainedModel", model).get_output_embeddings()  # type: ignore[no-untyped-call]
    whole = trained_whole(model, recipe)
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear)
        and module is not head
        and not belongs_to(name, whole)
        and (not wanted or is_target(name, wanted))
    }


def pattern(names: Iterable[str]) -> str:
    """A regular expression for exactly these modules in any layer, as PEFT takes them."""
    return "|".join(sorted({re.sub(r"\d+", r"\\d+", re.escape(name)) for name in names}))
