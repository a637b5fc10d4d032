"""Which parameters are trained, and how the others are held."""

from typing import Annotated

from pydantic import ConfigDict, Field

from finetune_operator.api.base import ApiModel
from finetune_operator.api.cel import Matches, Rule, Rules, rules
from finetune_trainer.recipe import (
    METHOD_OF_MEMBER,
    Initialization,
    MethodType,
    QuantizationType,
    TargetModulesPreset,
)

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


RATIO_PATTERN = r"^[0-9]{1,2}(\.[0-9]{1,4})?$"


class Targets(ApiModel):
    """Which modules are adapted."""

    target_modules_preset: TargetModulesPreset = TargetModulesPreset.ALL_LINEAR
    """Which modules are adapted when targetModules is absent: AllLinear, every linear layer but
    the output head, fused (Phi-3's qkv_proj) or not. Default: AllLinear."""
    target_modules: Annotated[tuple[ModuleName, ...], Field(min_length=1, max_length=64)] | None = (
        None
    )
    """Names (or their ends) of the modules to adapt, such as q_proj; takes the place of the
    preset. Absent: the preset decides."""


class LowRank(Targets):
    """What LoRA and DoRA share; the words are PEFT's."""

    rank: Annotated[int, Field(ge=1, le=512)] = 16
    """Rank of the update matrices. 1 to 512. Default: 16."""
    alpha: Annotated[int, Field(ge=1, le=4096)] = 32
    """Scaling: the update is multiplied by alpha / rank. 1 to 4096. Default: 32."""
    dropout: Dropout = "0.0"
    """Probability with which an input of the update is dropped in training, as a string.
    Default: "0.0"."""
    rank_stabilized: bool = False
    """Multiply by alpha / √rank instead (rsLoRA): large ranks learn as fast as small ones.
    Default: false."""
    learning_rate_ratio: Annotated[
        str,
        Field(max_length=8),
        Matches(RATIO_PATTERN, 'must be a number from 1 to 64 as a string, such as "16"'),
        Rules(
            Rule(
                f"!self.matches(r'{RATIO_PATTERN}')"
                " || (double(self) >= 1.0 && double(self) <= 64.0)",
                'must be from 1 to 64, such as "16"',
            )
        ),
    ] = "1"
    """The second matrix learns at so many times training.learningRate (LoRA+, which recommends
    "16"), as a string. "1" to "64". Default: "1"."""


class LoRA(LowRank):
    """Low-rank adaptation."""

    initialization: Initialization = Initialization.DEFAULT
    """What training starts from. Default: the base model as it is. PiSSA: the principal part of
    each weight is moved into the adapter, which learns sooner. LoftQ: the adapter makes good what
    NF4 has lost. With PiSSA and LoftQ an adapter of twice the rank is published, for the base model
    as it is. Default: Default."""


class DoRA(LowRank):
    """LoRA with a trained magnitude for each row of a weight."""


class IA3(Targets):
    """A trained factor for each output of a module; for each input of modules that end a
    feed-forward block."""


class VeRA(Targets):
    """Trained vectors around random matrices that all modules share."""

    rank: Annotated[int, Field(ge=1, le=4096)] = 256
    """Rank of the random matrices: higher than LoRA's, as only vectors are trained. 1 to 4096.
    Default: 256."""
    dropout: Dropout = "0.0"
    """Probability with which an input of the update is dropped in training, as a string.
    Default: "0.0"."""


class PromptTuning(ApiModel):
    """Trained embeddings before every document."""

    virtual_tokens: Annotated[int, Field(ge=1, le=1024)] = 20
    """Embeddings that are trained; each takes the place of a token of the context. 1 to 1024.
    Default: 20."""


class Method(ApiModel):
    """A type and the member of its name."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            *(
                Rule(
                    f"self.type == '{method}' || !has(self.{member})",
                    f"{member} is for type {method} only: remove it or set type to {method}",
                    field=f".{member}",
                )
                for member, method in METHOD_OF_MEMBER.items()
            )
        )
    )

    type: MethodType = MethodType.LORA
    """LoRA: an adapter of a few million parameters is trained, the base model stays as it is.
    DoRA: the same with magnitudes of their own. IA3, VeRA, PromptTuning: adapters of some thousand
    parameters. Full: every parameter is trained; takes about eight times the memory, and the result
    is a whole model. Default: LoRA."""
    lora: LoRA | None = None
    """Settings of type LoRA. Absent: their defaults."""
    dora: DoRA | None = None
    """Settings of type DoRA. Absent: their defaults."""
    ia3: IA3 | None = None
    """Settings of type IA3. Absent: their defaults."""
    vera: VeRA | None = None
    """Settings of type VeRA. Absent: their defaults."""
    prompt_tuning: PromptTuning | None = None
    """Settings of type PromptTuning. Absent: their defaults."""


def published_rank(method: Method) -> int | None:
    """Rank of the adapter that is served; None where there is none of the sort that vLLM loads.

    What does not start as the base model itself is published as the difference, of twice the rank.
    """
    if method.type is not MethodType.LORA:
        return None
    lora = method.lora or LoRA()
    return lora.rank * (1 if lora.initialization is Initialization.DEFAULT else 2)


class Quantization(ApiModel):
    """How the linear layers of the base model are held, which are not trained."""

    type: QuantizationType = QuantizationType.NONE
    """None: as training.precision says. NF4: in four bits; with method LoRA this is QLoRA, with
    DoRA it is QDoRA. Int8: in eight bits. Default: None."""
