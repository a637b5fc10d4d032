"""What is learned from."""

from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, model_validator

from finetune_trainer.frozen import Frozen


class DatasetFormat(StrEnum):
    """How a line of the data is laid out: see data/formats/."""

    AUTO = "Auto"
    OPENAI_CHAT = "OpenAIChat"
    SHARE_GPT = "ShareGPT"
    ALPACA = "Alpaca"
    TEXT = "Text"
    COLUMNS = "Columns"
    SPAN_QA = "SpanQA"
    CONLL = "CoNLL"
    PREFERENCE_PAIRS = "PreferencePairs"
    UNPAIRED_PREFERENCE = "UnpairedPreference"


class Source(Frozen):
    """One dataset: fetched into inputs/train-<i> or inputs/validation-<i>."""

    storage_uri: str = Field(min_length=1)
    weight: float | None = Field(default=None, gt=0.0)
    """Of a source of `train`: its share of an epoch is the share of its weight; see
    data/mixing.py."""


class Columns(Frozen):
    """Which key of a line holds what a task needs; None is a key named like the role. Which task
    has which roles, and which of them each line must have: see TASK_COLUMNS in rules.py."""

    question: str | None = None
    answer: str | None = None
    context: str | None = None
    source: str | None = None
    target: str | None = None
    text: str | None = None
    text_pair: str | None = None
    label: str | None = None

    def named(self) -> dict[str, str]:
        """Keys by role, of the roles that were given."""
        given: dict[str, str] = self.model_dump(exclude_none=True)
        return given


class Dataset(Frozen):
    """What is learned from, and what the result is measured on."""

    train: Annotated[list[Source], Field(min_length=1, max_length=16)]
    validation: Annotated[list[Source], Field(max_length=16)] = Field(default_factory=list)
    validation_fraction: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Share of the examples of `train` held out instead; 0 where `validation` is given."""
    format: DatasetFormat
    columns: Columns = Columns()
    """Of format Columns."""
    chat_template: str = ""
    """Jinja, in place of the model's own; empty is the model's."""

    @property
    def wanted_format(self) -> DatasetFormat:
        """Who names keys has chosen Columns."""
        return DatasetFormat.COLUMNS if self.columns.named() else self.format

    @model_validator(mode="after")
    def _one_way_to_hold_out(self) -> Self:
        if self.validation and self.validation_fraction:
            raise ValueError("dataset.validation and dataset.validationFraction exclude each other")
        return self
