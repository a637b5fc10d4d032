"""How base and tuned model are measured on held-out data."""

from typing import Annotated

from pydantic import Field

from finetune_operator.api.base import ApiModel
from finetune_trainer.recipe import Metric


class Evaluation(ApiModel):
    """What is measured where data is held out, of the base model and of the tuned one alike."""

    metrics: Annotated[tuple[Metric, ...], Field(min_length=1, max_length=16)] | None = None
    """Loss (nats a token; always measured), ExactMatch and F1 (of answers, 0 to 1, as SQuAD has
    them), ChrF and BLEU (of translations, 0 to 100, as sacrebleu has them). All but Loss need
    answers that the model writes itself, which takes longer. Absent: all that the task has."""
    max_new_tokens: Annotated[int, Field(ge=1, le=4096)] = 128
    """Tokens of an answer that the model writes itself, at most. Default: 128."""
    generated_examples: Annotated[int, Field(ge=1, le=1_000_000)] = 200
    """Held-out examples that are answered for metrics other than Loss, at most; they are taken from
    all over the held-out data. Default: 200."""
    shown_examples: Annotated[int, Field(ge=0, le=100)] = 10
    """Held-out examples of which report.html, which is pushed with the result, shows prompt and
    answers of both models; 0 shows none. Default: 10."""
