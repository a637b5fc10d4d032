"""Which parameters are trained, and how the others are held."""

from enum import StrEnum
from typing import Self

from pydantic import Field, model_validator

from finetune_trainer.frozen import Frozen


class MethodType(StrEnum):
    """Which parameters are trained: see methods/."""

    LORA = "LoRA"
    DORA = "DoRA"
    IA3 = "IA3"
    VERA = "VeRA"
    PROMPT_TUNING = "PromptTuning"
    FULL = "Full"


class TargetModulesPreset(StrEnum):
    """Named sets of modules that an adapter changes."""

    ALL_LINEAR = "AllLinear"


class Initialization(StrEnum):
    """What the matrices of LoRA start from: see methods/lora.py."""

    DEFAULT = "Default"
    PISSA = "PiSSA"
    LOFTQ = "LoftQ"


class QuantizationType(StrEnum):
    """Number format in which frozen linear layers are held: see engine/quantization.py."""

    NONE = "None"
    NF4 = "NF4"
    INT8 = "Int8"


class Targets(Frozen):
    """Which modules an adapter changes."""

    target_modules_preset: TargetModulesPreset = TargetModulesPreset.ALL_LINEAR
    target_modules: list[str] = Field(default_factory=list)
    """Suffixes of module names, for example q_proj; when given, the preset is not used."""


class LowRank(Targets):
    """What LoRA and DoRA share; names as in PEFT."""

    rank: int = Field(ge=1, le=1024)
    alpha: int = Field(ge=1, le=4096)
    dropout: float = Field(ge=0.0, lt=1.0)
    rank_stabilized: bool = False
    """Scale by alpha / sqrt(rank) instead of alpha / rank."""
    learning_rate_ratio: float = Field(default=1.0, ge=1.0, le=64.0)
    """LoRA+: the learning rate of B is so many times that of A."""

    @property
    def scaling(self) -> float:
        """What the product of B and A is multiplied by."""
        return self.alpha / (self.rank**0.5 if self.rank_stabilized else self.rank)


class LoRA(LowRank):
    """Low-rank adaptation."""

    initialization: Initialization = Initialization.DEFAULT


class DoRA(LowRank):
    """LoRA for the direction of each row of a weight, and a magnitude of its own."""


class IA3(Targets):
    """A factor for each output of a module, or for each input: see methods/ia3.py."""


class VeRA(Targets):
    """Random matrices shared by all modules, and two trained vectors for each."""

    rank: int = Field(ge=1, le=4096)
    dropout: float = Field(ge=0.0, lt=1.0)


class PromptTuning(Frozen):
    """Trained embeddings before every document."""

    virtual_tokens: int = Field(ge=1, le=1024)


class Method(Frozen):
    """A type and the member of its name; Full has none."""

    type: MethodType
    lora: LoRA | None = None
    dora: DoRA | None = None
    ia3: IA3 | None = None
    vera: VeRA | None = None
    prompt_tuning: PromptTuning | None = None

    @model_validator(mode="after")
    def _member_of_its_name(self) -> Self:
        for name, field in type(self).model_fields.items():
            method = METHOD_OF_MEMBER.get(field.alias or name)
            if method and (self.type is method) != (getattr(self, name) is not None):
                raise ValueError(
                    f"method.{field.alias} is given exactly when method.type is {method}"
                )
        return self

    @property
    def targets(self) -> Targets:
        """Raises TypeError for a method that changes no modules."""
        found = self.lora or self.dora or self.ia3 or self.vera
        if found is None:
            raise TypeError(f"method {self.type} has no target modules")
        return found

    @property
    def low_rank(self) -> LowRank:
        """Raises TypeError for a method without matrices A and B."""
        found = self.lora or self.dora
        if found is None:
            raise TypeError(f"method {self.type} is not of low rank")
        return found


METHOD_OF_MEMBER = {
    "lora": MethodType.LORA,
    "dora": MethodType.DORA,
    "ia3": MethodType.IA3,
    "vera": MethodType.VERA,
    "promptTuning": MethodType.PROMPT_TUNING,
}
"""The method that a member of `method` is for."""


class Quantization(Frozen):
    """How the frozen linear layers are held."""

    type: QuantizationType = QuantizationType.NONE


def method_name(method: MethodType, quantization: QuantizationType) -> str:
    """What people call the two together: QLoRA is LoRA over NF4."""
    if quantization is QuantizationType.NF4 and method in (MethodType.LORA, MethodType.DORA):
        return f"Q{method}"
    return method if quantization is QuantizationType.NONE else f"{method} ({quantization})"
