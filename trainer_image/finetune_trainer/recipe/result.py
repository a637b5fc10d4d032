"""What is measured of the result, and what is made of it."""

from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, model_validator

from finetune_trainer.frozen import Frozen


class Metric(StrEnum):
    """What is measured on held-out data: see metrics.py."""

    LOSS = "Loss"
    EXACT_MATCH = "ExactMatch"
    F1 = "F1"
    CHRF = "ChrF"
    BLEU = "BLEU"
    ACCURACY = "Accuracy"
    MACRO_F1 = "MacroF1"
    ENTITY_F1 = "EntityF1"
    REWARD_ACCURACY = "RewardAccuracy"
    REWARD_MARGIN = "RewardMargin"
    GENERAL_LOSS = "GeneralLoss"
    """Of texts that have nothing to do with the task: see objectives/general.py."""

    @property
    def lower_is_better(self) -> bool:
        """Whether a gain is a fall."""
        return self in (Metric.LOSS, Metric.GENERAL_LOSS)


class Export(StrEnum):
    """What is made of the result: see export/. In the order in which artifacts are listed."""

    ADAPTER = "Adapter"
    """What was trained; of method Full that is the model itself."""
    MERGED = "Merged"
    ONNX = "ONNX"
    ONNX_ADAPTER = "ONNXAdapter"
    ONNX_INT8 = "ONNXInt8"
    AI_TOOLKIT = "AIToolkit"
    GGUF = "GGUF"


class Gate(Frozen):
    """What a metric of the tuned model has to be for the result to be published: see gates.py."""

    metric: Metric
    maximum: Decimal | None = None
    minimum: Decimal | None = None
    minimum_gain: Decimal | None = None
    """Over the base model: absolute, in the metric's better direction."""

    @model_validator(mode="after")
    def _one_bound(self) -> Self:
        if [self.maximum, self.minimum, self.minimum_gain].count(None) != 2:
            raise ValueError("a gate has one of maximum, minimum and minimumGain")
        return self


class Evaluation(Frozen):
    """What is measured of the base model and of the tuned one, where data is held out."""

    metrics: list[Metric] = Field(default_factory=lambda: [Metric.LOSS])
    """Loss is measured always."""
    max_new_tokens: int = Field(default=128, ge=1, le=4096)
    """Tokens of an answer that the model writes itself, at most."""
    generated_examples: int = Field(default=200, ge=1, le=1_000_000)
    """Held-out examples that are answered for the metrics of answers, at most."""
    shown_examples: int = Field(default=10, ge=0, le=100)
    """Held-out examples of which the report shows the answers."""
    interval_steps: int | None = Field(default=None, ge=1)
    """Optimizer steps between evaluations along the way; None: only before and after."""
    best_metric: Metric = Metric.LOSS
    """By which evaluations along the way are compared."""
    keep_best: bool = False
    """The result is the best of what was evaluated along the way, not what the last step left."""
    gates: list[Gate] = Field(default_factory=list)
    """Decide nothing in training."""


class Output(Frozen):
    """What the run leaves behind."""

    exports: Annotated[list[Export], Field(min_length=1)] = Field(
        default_factory=lambda: [Export.ADAPTER]
    )
    """What is published. What was trained lies in output/ always."""

    @property
    def conversions(self) -> list[Export]:
        """What has to be made of what was trained, in the order of `Export`."""
        return [each for each in Export if each in self.exports and each is not Export.ADAPTER]
