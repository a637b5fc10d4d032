"""The optimization itself."""

from typing import Annotated

from pydantic import ConfigDict, Field

from finetune_operator.api.base import ApiModel
from finetune_operator.api.cel import Matches, Rule, Rules, rules
from finetune_operator.api.text import (
    LEARNING_RATE_PATTERN,
    POSITIVE_PATTERN,
    LearningRate,
    PositiveDecimal,
)
from finetune_trainer.recipe import ClassWeights, Optimizer, Precision, Schedule

GAIN_PATTERN = r"^([0-9]{1,9}(\.[0-9]{1,9})?|\.[0-9]{1,9})$"

WEIGHT_DECAY_PATTERN = r"^(0|1|1\.0+|0?\.[0-9]+)$"


class EarlyStopping(ApiModel):
    """Ends training when it no longer helps on held-out data."""

    patience: Annotated[int, Field(ge=1, le=1000)] = 3
    """Evaluations without a gain after which training ends. Default: 3."""
    minimum_gain: Annotated[
        str,
        Field(max_length=20),
        Matches(GAIN_PATTERN, 'must be a number from 0 as a string, such as "0.01"'),
    ] = "0.0"
    """What counts as a gain of evaluation.bestMetric: absolute, in its better direction, as a
    string; any gain does with "0.0". Default: "0.0"."""


class Training(ApiModel):
    """How long, how fast and in what portions is learned."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Rule(
                "self.tokensPerBatch >= self.maxLength",
                "tokensPerBatch must be at least maxLength, so that a batch holds one sequence:"
                " raise tokensPerBatch or lower maxLength",
                field=".tokensPerBatch",
            ),
            Rule(
                "!has(self.maxSteps) || self.warmupSteps < self.maxSteps",
                "warmupSteps must be less than maxSteps: the learning rate would never be reached",
                field=".warmupSteps",
            ),
        )
    )

    epochs: Annotated[int, Field(ge=1, le=1000)] = 3
    """Times that the training data is gone through, unless maxSteps is given. Default: 3."""
    max_steps: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    """Optimizer steps to train for; when given, it decides and epochs does not. Absent: epochs
    decides."""
    learning_rate: (
        Annotated[
            LearningRate,
            Rules(
                Rule(
                    f"!self.matches(r'{LEARNING_RATE_PATTERN}')"
                    " || (double(self) > 0.0 && double(self) <= 1.0)",
                    'must be above 0 and at most 1, such as "2e-4"',
                )
            ),
        ]
        | None
    ) = None
    """Highest learning rate, as a string. Absent: "2e-4" for LoRA and DoRA, "3e-3" for IA3,
    "4e-3" for VeRA, "1e-2" for PromptTuning, "2e-5" for Full; for task Preference a fortieth of
    these."""
    schedule: Schedule = Schedule.COSINE
    """How the learning rate goes on after warm-up: Cosine or Linear (down to 0 at the last step),
    or Constant. Default: Cosine."""
    warmup_steps: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """Optimizer steps over which the learning rate rises from 0. Default: 0."""
    optimizer: Optimizer = Optimizer.ADAMW
    """AdamW (two numbers of 32 bits for each trained one), AdamW8bit (two of 8 bits) or Adafactor
    (two for each row and column of a matrix). Default: AdamW."""
    weight_decay: Annotated[
        str,
        Field(max_length=16),
        Matches(
            WEIGHT_DECAY_PATTERN,
            'must be a number from 0 to 1 as a string, such as "0.01"',
        ),
    ] = "0.0"
    """Share of each weight, times the learning rate, that a step takes off it; none of biases and
    norms. A string from "0.0" to "1.0". Default: "0.0"."""
    max_gradient_norm: Annotated[
        PositiveDecimal,
        Rules(
            Rule(
                f"!self.matches(r'{POSITIVE_PATTERN}') || double(self) > 0.0",
                'must be above 0, such as "1.0"; where gradients should never be scaled, a large'
                " number",
            )
        ),
    ] = "1.0"
    """Gradients of a larger norm, over all parameters, are scaled down to it; a string.
    Default: "1.0"."""
    early_stopping: EarlyStopping | None = None
    """Ends training before its last step when evaluations no longer gain; needs
    evaluation.intervalSteps. Absent: training goes to its last step."""
    max_length: Annotated[int, Field(ge=8, le=1_048_576)] = 1024
    """Tokens of a sequence; longer examples are cut at their end, or split where the task can.
    Default: 1024."""
    packing: bool = True
    """True: a sequence holds several examples of together up to maxLength tokens, each attending
    only to itself. False: it holds one. Encoders compute examples of similar length side by side
    either way. Default: true."""
    tokens_per_batch: Annotated[int, Field(ge=8, le=1_073_741_824)] = 8192
    """Tokens of one optimizer step over all nodes and GPUs: tokensPerBatch / maxLength sequences,
    a number that nodes (times gpusPerNode on GPU) must divide. Default: 8192."""
    precision: Precision = Precision.AUTO
    """Number format of frozen weights and arithmetic; what is trained is kept in FP32. Auto: BF16
    where the processor computes with it, else FP32. Default: Auto."""
    class_weights: ClassWeights = ClassWeights.NONE
    """Of TextClassification. Balanced: a rare class counts as much in the loss as a frequent one.
    None: each example counts as much as any other. Default: None."""
    seed: Annotated[int, Field(ge=0, le=4_294_967_295)] = 42
    """Decides initial values, the order of the examples and which are held out. Default: 42."""
