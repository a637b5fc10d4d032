"""What is measured on held-out data, when, and what follows from it."""

from typing import Annotated

from pydantic import ConfigDict, Field

from finetune_operator.api.base import ApiModel
from finetune_operator.api.cel import Matches, Rule, rules
from finetune_trainer.recipe import Metric
from finetune_trainer.rules import KEPT_WITHOUT_INTERVAL

Bound = Annotated[
    str,
    Field(max_length=20),
    Matches(
        r"^-?([0-9]{1,9}(\.[0-9]{1,9})?|\.[0-9]{1,9})$",
        'must be a number as a string, such as "1.2"',
    ),
]


class Gate(ApiModel):
    """What a metric of the tuned model has to be: one of maximum, minimum and minimumGain."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Rule(
                "(has(self.maximum) ? 1 : 0) + (has(self.minimum) ? 1 : 0)"
                " + (has(self.minimumGain) ? 1 : 0) == 1",
                "a gate has one of maximum, minimum and minimumGain: give one of them",
            ),
        )
    )

    metric: Metric
    """What is judged."""
    maximum: Bound | None = None
    """The tuned model must not be above it; a string."""
    minimum: Bound | None = None
    """The tuned model must not be below it; a string."""
    minimum_gain: Bound | None = None
    """The tuned model must be better than the base model by so much: absolute, in the metric's
    better direction; a string."""


class Evaluation(ApiModel):
    """Base and tuned model are measured by the same code; along the way too, if asked for."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Rule(
                "!has(self.keepBest) || !self.keepBest || has(self.intervalSteps)",
                KEPT_WITHOUT_INTERVAL,
                field=".keepBest",
            ),
        )
    )

    metrics: Annotated[tuple[Metric, ...], Field(min_length=1, max_length=16)] | None = None
    """Loss (nats a token; always measured), ExactMatch and F1 (of answers, 0 to 1, as SQuAD has
    them), ChrF and BLEU (of translations, 0 to 100, as sacrebleu has them), and GeneralLoss (of
    texts that have nothing to do with the task: what is forgotten). ExactMatch to BLEU need answers
    that the model writes itself, which takes longer. Absent: all that the task has."""
    max_new_tokens: Annotated[int, Field(ge=1, le=4096)] = 128
    """Tokens of an answer that the model writes itself, at most. Default: 128."""
    generated_examples: Annotated[int, Field(ge=1, le=1_000_000)] = 200
    """Held-out examples that are answered for metrics other than Loss, at most; they are taken from
    all over the held-out data. Default: 200."""
    shown_examples: Annotated[int, Field(ge=0, le=100)] = 10
    """Held-out examples of which report.html, which is pushed with the result, shows prompt and
    answers of both models; 0 shows none. Default: 10."""
    interval_steps: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """Optimizer steps between evaluations along the way; before each a checkpoint is written.
    Absent: only base and tuned model are measured."""
    best_metric: Metric = Metric.LOSS
    """Which metric tells evaluations along the way apart. Default: Loss."""
    keep_best: bool | None = None
    """True: what is published is the best of what was evaluated along the way; false: what the last
    step left. Absent: true with training.earlyStopping, which always keeps the best, else false."""
    gates: Annotated[tuple[Gate, ...], Field(max_length=16)] = ()
    """What has to hold for the result to be published. Where one does not, the artifact is kept in
    the repository of output.storageUri by its digest; no tag is moved and nothing is published."""
