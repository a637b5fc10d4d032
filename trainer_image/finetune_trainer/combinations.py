"""What cannot be chosen together, as data: CEL, acceptance, `check`, serving and a page obey it.

All else works, which the matrix of tests shows. Adding a refusal: a line here.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from finetune_trainer.heads import OTHER_HEADS
from finetune_trainer.recipe import (
    ClassWeights,
    DatasetFormat,
    Device,
    Export,
    Initialization,
    MethodType,
    Offload,
    Optimizer,
    PreferenceLoss,
    QuantizationType,
    Recipe,
    Strategy,
    Task,
)

METHOD = "method.type"
QUANTIZATION = "quantization.type"
INITIALIZATION = "method.lora.initialization"
CLASS_WEIGHTS = "training.classWeights"
LOSS = "preference.loss"
FORMAT = "dataset.format"
PUBLISH = "publish.type"
TASK = "task"
EXPORTS = "output.exports"
STRATEGY = "distribution.strategy"
OFFLOAD = "distribution.offload"
DEVICE = "compute.device"
OPTIMIZER = "training.optimizer"
RUNTIME = "InferenceWorkspace's runtime"

VALUES: dict[str, tuple[str, ...]] = {
    METHOD: tuple(MethodType),
    QUANTIZATION: tuple(QuantizationType),
    INITIALIZATION: tuple(Initialization),
    CLASS_WEIGHTS: tuple(ClassWeights),
    LOSS: tuple(PreferenceLoss),
    FORMAT: (DatasetFormat.PREFERENCE_PAIRS, DatasetFormat.UNPAIRED_PREFERENCE),
    PUBLISH: ("None", "Workspace", "KAITO"),
    TASK: tuple(Task),
    EXPORTS: tuple(Export),
    RUNTIME: ("VLLM", "Transformers"),
    STRATEGY: tuple(Strategy),
    OFFLOAD: tuple(Offload),
    DEVICE: tuple(Device),
    OPTIMIZER: tuple(Optimizer),
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
_CONVERSIONS = tuple(export for export in Export if export is not Export.ADAPTER)

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
        METHOD,
        MethodType.PROMPT_TUNING,
        TASK,
        OTHER_HEADS,
        "PEFT puts the prompt where such a head reads, and leaves out which text a token is of",
        "set method.type LoRA",
    ),
    Refusal(
        CLASS_WEIGHTS,
        ClassWeights.BALANCED,
        TASK,
        tuple(task for task in Task if task is not Task.TEXT_CLASSIFICATION),
        "only TextClassification has classes to weigh",
        "set training.classWeights None",
    ),
    *(
        Refusal(
            PUBLISH,
            served,
            TASK,
            OTHER_HEADS,
            f"a {served} answers with text, and this model with classes or places",
            "set publish.type None and load the artifact with transformers",
        )
        for served in ("Workspace", "KAITO")
    ),
    Refusal(
        STRATEGY,
        Strategy.DATA_PARALLEL,
        OFFLOAD,
        (Offload.OPTIMIZER, Offload.OPTIMIZER_AND_PARAMETERS),
        "what lies on the host is one of ZeRO's shares",
        "set distribution.strategy Auto, or distribution.offload None",
    ),
    *(
        Refusal(
            STRATEGY,
            strategy,
            OFFLOAD,
            (Offload.OPTIMIZER_AND_PARAMETERS,),
            "only ZeRO3 has shares of the parameters that could lie on the host",
            "set distribution.strategy ZeRO3, or distribution.offload Optimizer",
        )
        for strategy in (Strategy.ZERO1, Strategy.ZERO2)
    ),
    *(
        Refusal(
            STRATEGY,
            strategy,
            OPTIMIZER,
            (Optimizer.ADAMW_8BIT, Optimizer.ADAFACTOR),
            "ZeRO lays all tensors out as one, and this optimizer goes by the shape of each",
            "set training.optimizer AdamW, or distribution.strategy DataParallel",
        )
        for strategy in (Strategy.ZERO1, Strategy.ZERO2, Strategy.ZERO3)
    ),
    Refusal(
        STRATEGY,
        Strategy.ZERO3,
        QUANTIZATION,
        (QuantizationType.INT8,),
        "bitsandbytes keeps what it needs of a weight of eight bits beside it, whole",
        "set quantization.type NF4, or distribution.strategy ZeRO2",
    ),
    *(
        Refusal(
            INITIALIZATION,
            initialization,
            STRATEGY,
            (Strategy.ZERO3,),
            "it decomposes each weight, of which a process has a share only",
            "set method.lora.initialization Default, or distribution.strategy ZeRO2",
        )
        for initialization in (Initialization.PISSA, Initialization.LOFTQ)
    ),
    *(
        Refusal(
            OFFLOAD,
            offload,
            DEVICE,
            (Device.CPU,),
            "a processor computes in the host's memory already",
            "set distribution.offload None",
        )
        for offload in (Offload.OPTIMIZER, Offload.OPTIMIZER_AND_PARAMETERS)
    ),
    Refusal(
        LOSS,
        PreferenceLoss.DPO,
        FORMAT,
        (DatasetFormat.UNPAIRED_PREFERENCE,),
        "DPO compares two replies to the same question",
        "set preference.loss KTO, or give the data as PreferencePairs",
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
    *(
        Refusal(
            EXPORTS,
            export,
            METHOD,
            (MethodType.PROMPT_TUNING,),
            "a prompt stands before the text and is no part of the weights, so nothing can be"
            " merged",
            "set output.exports [Adapter], or method.type LoRA",
        )
        for export in _CONVERSIONS
    ),
    Refusal(
        EXPORTS,
        Export.MERGED,
        METHOD,
        (MethodType.FULL,),
        "Full makes a whole model, with nothing to merge",
        "set output.exports [Adapter], which stands for that model",
    ),
    Refusal(
        EXPORTS,
        Export.ONNX_ADAPTER,
        METHOD,
        (MethodType.DORA, MethodType.IA3, MethodType.VERA, MethodType.FULL),
        "what ONNX Runtime switches between are the two matrices of LoRA",
        "set output.exports [ONNX], which is the merged model, or method.type LoRA",
    ),
    *(
        Refusal(
            EXPORTS,
            export,
            TASK,
            OTHER_HEADS,
            f"{export} is for programs that generate text",
            "set output.exports [ONNX]",
        )
        for export in (Export.ONNX_ADAPTER, Export.AI_TOOLKIT, Export.GGUF)
    ),
)


def refusals(values: Mapping[str, str | Sequence[str]]) -> Iterator[str]:
    """Why these values cannot be chosen together.

    Args:
        values: by field, of a list all that it has; what does not apply is left out.
    """
    for refusal in REFUSALS:
        if refusal.value in _all(values, refusal.field):
            for chosen in _all(values, refusal.other):
                if chosen in refusal.excluded:
                    yield refusal.message(chosen)


def _all(values: Mapping[str, str | Sequence[str]], field: str) -> Sequence[str]:
    chosen = values.get(field, ())
    return (chosen,) if isinstance(chosen, str) else chosen


def values_of(recipe: Recipe) -> dict[str, str | Sequence[str]]:
    """What a recipe has chosen."""
    chosen: dict[str, str | Sequence[str]] = {
        METHOD: recipe.method.type,
        QUANTIZATION: recipe.quantization.type,
        TASK: recipe.task,
        EXPORTS: recipe.output.exports,
        CLASS_WEIGHTS: recipe.training.class_weights,
        STRATEGY: recipe.distribution.strategy,
        OFFLOAD: recipe.distribution.offload,
        DEVICE: recipe.compute.device,
        OPTIMIZER: recipe.training.optimizer,
    }
    if recipe.method.lora:
        chosen[INITIALIZATION] = recipe.method.lora.initialization
    if recipe.preference:
        chosen[LOSS] = recipe.preference.loss
        chosen[FORMAT] = recipe.dataset.format
    return chosen
