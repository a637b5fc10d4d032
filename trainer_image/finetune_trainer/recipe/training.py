"""The optimization itself."""

from enum import StrEnum

from pydantic import Field

from finetune_trainer.frozen import Frozen


class Schedule(StrEnum):
    """How the learning rate goes on after warm-up."""

    COSINE = "Cosine"
    LINEAR = "Linear"
    CONSTANT = "Constant"


class Optimizer(StrEnum):
    """How gradients become updates: see engine/optimizers.py."""

    ADAMW = "AdamW"
    ADAMW_8BIT = "AdamW8bit"
    ADAFACTOR = "Adafactor"


class ClassWeights(StrEnum):
    """How much each class counts in the loss: see tasks/text_classification.py."""

    NONE = "None"
    BALANCED = "Balanced"


class Precision(StrEnum):
    """Number format of the frozen weights and of the arithmetic; trained tensors are FP32."""

    AUTO = "Auto"
    FP32 = "FP32"
    BF16 = "BF16"


class EarlyStopping(Frozen):
    """End training when evaluations along the way no longer gain: see engine/selection.py."""

    patience: int = Field(ge=1)
    """Evaluations without a gain after which training ends."""
    minimum_gain: float = Field(default=0.0, ge=0.0)
    """What counts as one: absolute, in the metric's better direction."""


class Training(Frozen):
    """The optimization itself."""

    epochs: int = Field(ge=1)
    max_steps: int | None = Field(default=None, ge=1)
    """The number of optimizer steps; when given, `epochs` does not count."""
    learning_rate: float = Field(gt=0.0, le=1.0)
    schedule: Schedule
    warmup_steps: int = Field(ge=0)
    optimizer: Optimizer = Optimizer.ADAMW
    weight_decay: float = Field(default=0.0, ge=0.0, le=1.0)
    """Share of a weight, times the learning rate, that each step takes off it; biases and norms
    keep theirs."""
    max_gradient_norm: float = Field(default=1.0, gt=0.0)
    """Gradients of a larger L2 norm, over all parameters, are scaled down to it."""
    early_stopping: EarlyStopping | None = None
    """None: training goes to its last step."""
    max_length: int = Field(ge=8)
    """Tokens of one sequence: of an example when not packing, of a pack of examples otherwise."""
    packing: bool
    tokens_per_batch: int = Field(ge=8)
    """Tokens of one optimizer step over all processes: tokensPerBatch // maxLength sequences."""
    precision: Precision
    class_weights: ClassWeights = ClassWeights.NONE
    """Of task TextClassification."""
    seed: int = Field(ge=0, lt=2**32)

    @property
    def sequences_per_batch(self) -> int:
        """Sequences of one optimizer step over all processes."""
        return self.tokens_per_batch // self.max_length
