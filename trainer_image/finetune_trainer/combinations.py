"""What cannot be chosen together, as data: CEL, acceptance, `check`, serving and a page obey it.

All else works, which the matrix of tests shows. Adding a refusal: a line here.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from finetune_trainer.recipe import Initialization, MethodType, QuantizationType, Recipe

METHOD = "method.type"
QUANTIZATION = "quantization.type"
INITIALIZATION = "method.lora.initialization"
PUBLISH = "publish.type"
RUNTIME = "InferenceWorkspace's runtime"

VALUES: dict[str, tuple[str, ...]] = {
    METHOD: tuple(MethodType),
    QUANTIZATION: tuple(QuantizationType),
    INITIALIZATION: tuple(Initialization),
    PUBLISH: ("None", "Workspace", "KAITO"),
    RUNTIME: ("VLLM", "Transformers"),
}
"""Fields in the user's spelling, and their values."""


@dataclass(frozen=True)
class Refusal:
    """A value of one field that some values of another exclude."""

    field: str
    value: str
    other: str
    excluded: tuple[str, ...]
    because: str
    instead: str

    def message(self, excluded: str) -> str:
        """What the user reads."""
        return (
            f"{self.field} {self.value} cannot be combined with {self.other} {excluded}: "
            f"{self.because}: {self.instead}"
        )


_NOT_LORA = (MethodType.DORA, MethodType.IA3, MethodType.VERA, MethodType.PROMPT_TUNING)

REFUSALS = (
    Refusal(
        METHOD,
        MethodType.FULL,
        QUANTIZATION,
        (QuantizationType.NF4, QuantizationType.INT8),
        "Full trains every weight, and quantized weights cannot be trained",
        "set quantization.type None, or method.type LoRA",
    ),
    Refusal(
        INITIALIZATION,
        Initialization.PISSA,
        QUANTIZATION,
        (QuantizationType.NF4, QuantizationType.INT8),
        "PiSSA changes the base model's weights, which are quantized already",
        "set method.lora.initialization LoftQ with NF4 or Default with any, or quantization.type"
        " None",
    ),
    Refusal(
        INITIALIZATION,
        Initialization.LOFTQ,
        QUANTIZATION,
        (QuantizationType.NONE, QuantizationType.INT8),
        "LoftQ makes good what four bits have lost",
        "set quantization.type NF4, or method.lora.initialization Default",
    ),
    Refusal(
        PUBLISH,
        "KAITO",
        METHOD,
        (MethodType.FULL,),
        "KAITO serves adapters, and Full makes a whole model",
        "set publish.type Workspace, or method.type LoRA",
    ),
    Refusal(
        PUBLISH,
        "KAITO",
        METHOD,
        _NOT_LORA,
        "KAITO's vLLM loads no adapters but LoRA's",
        "set publish.type Workspace, or method.type LoRA",
    ),
    Refusal(
        RUNTIME,
        "VLLM",
        METHOD,
        _NOT_LORA,
        "vLLM loads no adapters but LoRA's",
        "set the workspace's runtime Transformers, or train with method.type LoRA",
    ),
)


def refusals(values: Mapping[str, str]) -> Iterator[str]:
    """Why these values cannot be chosen together.

    Args:
        values: by field; what does not apply is left out.
    """
    for refusal in REFUSALS:
        chosen = values.get(refusal.other, "")
        if values.get(refusal.field) == refusal.value and chosen in refusal.excluded:
            yield refusal.message(chosen)


def values_of(recipe: Recipe) -> dict[str, str]:
    """What a recipe has chosen."""
    chosen: dict[str, str] = {
        METHOD: recipe.method.type,
        QUANTIZATION: recipe.quantization.type,
    }
    if recipe.method.lora:
        chosen[INITIALIZATION] = recipe.method.lora.initialization
    return chosen
