"""The adapter that training goes on from, as far as it can be known without weights. Needs no
torch; methods/adapters.py loads it."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from finetune_trainer.base_model import BaseModel
from finetune_trainer.errors import ConfigurationError
from finetune_trainer.fetch.contents import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from finetune_trainer.model_rules import is_target
from finetune_trainer.recipe import METHOD_OF_MEMBER, Method, MethodType, Recipe

_TYPES = {
    ("LORA", False): MethodType.LORA,
    ("LORA", True): MethodType.DORA,
    ("IA3", False): MethodType.IA3,
    ("VERA", False): MethodType.VERA,
    ("PROMPT_TUNING", False): MethodType.PROMPT_TUNING,
}
"""By PEFT's peft_type and use_dora."""

_SETTINGS = {
    "r": "rank",
    "lora_alpha": "alpha",
    "use_rslora": "rankStabilized",
    "num_virtual_tokens": "virtualTokens",
}
"""What decides how the tensors are used: PEFT's word, and ours."""

_UNKNOWN_HERE = (
    "alpha_pattern",
    "exclude_modules",
    "layers_to_transform",
    "lora_bias",
    "modules_to_save",
    "rank_pattern",
    "target_parameters",
    "trainable_token_indices",
)
"""PEFT's settings that no recipe can repeat."""

_MODULE = re.compile(r"base_model\.model\.(.+)\.(lora_A|lora_B|lora_magnitude_vector|ia3_l|vera_)")


@dataclass(frozen=True)
class StartingAdapter:
    """A folder as PEFT writes it."""

    path: Path
    config: Mapping[str, Any]
    shapes: Mapping[str, Sequence[int]]
    """Of its tensors, by name."""

    def modules(self) -> set[str]:
        """Names of the modules that it changes."""
        return {found[1] for name in self.shapes if (found := _MODULE.match(name))}


def open_adapter(path: Path) -> StartingAdapter:
    """Read its small file, and the header of the large one.

    Raises:
        ConfigurationError: it is none, or broken.
    """
    try:
        config = json.loads((path / ADAPTER_CONFIG).read_bytes())
        method = config["peft_type"], bool(config.get("use_dora"))
        with safe_open(path / ADAPTER_WEIGHTS, framework="np") as tensors:
            shapes = {
                name: tensors.get_slice(name).get_shape()
                for name in tensors.keys()  # noqa: SIM118 - not a mapping
            }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        raise ConfigurationError(
            f"model.adapterUri holds no adapter that PEFT can read: {ADAPTER_CONFIG} or "
            f"{ADAPTER_WEIGHTS} is missing or broken ({error})"
        ) from error
    if method not in _TYPES:
        known = ", ".join(_TYPES.values())
        raise ConfigurationError(
            f"model.adapterUri is an adapter of PEFT's type {method[0]}: choose one of {known}"
        )
    return StartingAdapter(path, config, shapes)


def problems(adapter: StartingAdapter, base: BaseModel, recipe: Recipe) -> list[str]:
    """Every reason, in the user's spelling, why training cannot go on from it."""
    method = _TYPES[adapter.config["peft_type"], bool(adapter.config.get("use_dora"))]
    if method is not recipe.method.type:
        return [
            f"model.adapterUri is an adapter of method {method}, and method.type is "
            f"{recipe.method.type}: set it to {method}"
        ]
    return [
        *_settings(adapter, recipe.method),
        *_unknown(adapter),
        *_modules(adapter, base, recipe.method),
    ]


def _settings(adapter: StartingAdapter, method: Method) -> Iterator[str]:
    member = _member(method)
    ours = method.model_dump(mode="json").get(member) or {}
    for theirs, name in _SETTINGS.items():
        value = adapter.config.get(theirs)
        if name in ours and value is not None and value != ours[name]:
            yield (
                f"model.adapterUri has {name} {json.dumps(value)}, and method.{member}.{name} is "
                f"{json.dumps(ours[name])}: set it to {json.dumps(value)}"
            )


def _unknown(adapter: StartingAdapter) -> Iterator[str]:
    found = [name for name in _UNKNOWN_HERE if adapter.config.get(name)]
    if adapter.config.get("bias", "none") != "none":
        found.append("bias")
    if found:
        yield (
            f"model.adapterUri was made with PEFT's {', '.join(found)}, which no method here "
            "trains: choose an adapter without"
        )


def _modules(adapter: StartingAdapter, base: BaseModel, method: Method) -> Iterator[str]:
    if method.type is MethodType.PROMPT_TUNING:
        return
    weights = base.linear_shapes()
    wanted = method.targets.target_modules
    ours = {name for name in weights if not wanted or is_target(name, wanted)}
    theirs = adapter.modules()
    if foreign := sorted(theirs - weights.keys()):
        yield (
            f"model.adapterUri changes {foreign[0]}, which the model does not have: it was made "
            "for another one; set model.storageUri to its base model"
        )
    elif theirs != ours:
        names = sorted({name.rpartition(".")[2] for name in theirs})
        yield (
            f"model.adapterUri changes other modules than method.{_member(method)} would: set its "
            f"targetModules to {json.dumps(names)}"
        )
    else:
        yield from _shapes(adapter, weights)


def _shapes(adapter: StartingAdapter, weights: Mapping[str, Sequence[int]]) -> Iterator[str]:
    for name, shape in adapter.shapes.items():
        found = _MODULE.match(name)
        if found is None or found[2] not in ("lora_A", "lora_B"):
            continue
        outputs, inputs = weights[found[1]]
        is_a = found[2] == "lora_A"
        if (shape[1] == inputs) if is_a else (shape[0] == outputs):
            continue
        yield (
            f"model.adapterUri has a {found[2]} of {' × '.join(map(str, shape))} for {found[1]}, "
            f"whose weight is {outputs} × {inputs}: it was made for another model; set "
            "model.storageUri to its base model"
        )
        return


def _member(method: Method) -> str:
    return next(name for name, kind in METHOD_OF_MEMBER.items() if kind is method.type)
