"""Which parameters are trained."""

from typing import Annotated

from pydantic import ConfigDict, Field

from finetune_operator.api.base import ApiModel
from finetune_operator.api.cel import Matches, Rule, rules
from finetune_trainer.recipe import MethodType, TargetModulesPreset

ModuleName = Annotated[
    str,
    Field(min_length=1, max_length=128),
    Matches(
        r"^[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*$",
        "must be the end of a module's name, such as q_proj",
    ),
]

Dropout = Annotated[
    str,
    Field(max_length=16),
    Matches(
        r"^(0|0?\.[0-9]+)$",
        'must be a probability from "0.0" to below "1" as a string',
    ),
]


class LoRA(ApiModel):
    """Low-rank adaptation; the words are PEFT's."""

    rank: Annotated[int, Field(ge=1, le=512)] = 16
    """Rank of the update matrices. 1 to 512. Default: 16."""
    alpha: Annotated[int, Field(ge=1, le=4096)] = 32
    """Scaling: the update is multiplied by alpha / rank. 1 to 4096. Default: 32."""
    dropout: Dropout = "0.0"
    """Probability with which an input of the update is dropped in training, as a string.
    Default: "0.0"."""
    target_modules_preset: TargetModulesPreset = TargetModulesPreset.ALL_LINEAR
    """Which modules are adapted when targetModules is absent: AllLinear, every linear layer but
    the output head. Default: AllLinear."""
    target_modules: Annotated[tuple[ModuleName, ...], Field(min_length=1, max_length=64)] | None = (
        None
    )
    """Names (or their ends) of the modules to adapt, such as q_proj; takes the place of the
    preset. Absent: the preset decides."""


class Method(ApiModel):
    """A type and the member of its name."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Rule(
                "self.type == 'LoRA' || !has(self.lora)",
                "lora is for type LoRA only: remove it or set type to LoRA",
                field=".lora",
            ),
        )
    )

    type: MethodType = MethodType.LORA
    """LoRA: an adapter of a few million parameters is trained, the base model stays as it is.
    Full: every parameter is trained; takes about eight times the memory, and the result is a
    whole model. Default: LoRA."""
    lora: LoRA | None = None
    """Settings of type LoRA. Absent: their defaults."""
