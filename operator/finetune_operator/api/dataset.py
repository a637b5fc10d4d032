"""What a job learns from and what it is measured on."""

from typing import Annotated

from pydantic import ConfigDict, Field

from finetune_operator.api.base import ApiModel
from finetune_operator.api.cel import Rule, Rules, rules
from finetune_operator.api.sources import DataSource, TrainSource
from finetune_operator.api.text import FRACTION_PATTERN, Fraction
from finetune_trainer.recipe import DatasetFormat
from finetune_trainer.rules import COLUMNS_REFUSED, WEIGHTS_REFUSED

DEFAULT_VALIDATION_FRACTION = "0.05"
"""Share held out when neither `validation` nor `validationFraction` is given: a result that
was measured on nothing cannot be judged."""


ColumnKey = Annotated[str, Field(min_length=1, max_length=256)]


class Columns(ApiModel):
    """Which key of a line holds what the task needs. Absent: a key named like the role."""

    question: ColumnKey | None = None
    """Key of the question, for QuestionAnswering. Absent: "question"."""
    answer: ColumnKey | None = None
    """Key of the answer, for QuestionAnswering: text, or a list of texts of which each is right and
    the first is learned. Absent: "answer"."""
    context: ColumnKey | None = None
    """Key of the text that a question is about, for QuestionAnswering. Absent: "context", which a
    line may do without."""
    source: ColumnKey | None = None
    """Key of the text to translate, for Translation. Absent: "source"."""
    target: ColumnKey | None = None
    """Key of the translation, for Translation: text, or a list of texts of which each is right and
    the first is learned. Absent: "target"."""
    text: ColumnKey | None = None
    """Key of the text, for TextClassification. Absent: "text"."""
    text_pair: ColumnKey | None = None
    """Key of a second text, for TextClassification of pairs. Absent: "textPair", which a line may
    do without."""
    label: ColumnKey | None = None
    """Key of the class, for TextClassification: text or a whole number, or in every line a list of
    them where a text may be of several classes. Absent: "label"."""


class Dataset(ApiModel):
    """Training examples, and those held out to measure base and tuned model on."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Rule(
                "!(has(self.validation) && has(self.validationFraction))",
                "validation and validationFraction exclude each other: name held-out data or"
                " the share of train to hold out, not both",
                field=".validationFraction",
            ),
            Rule(
                "self.train.all(source, has(source.weight))"
                " || !self.train.exists(source, has(source.weight))",
                WEIGHTS_REFUSED,
                field=".train",
            ),
            Rule(
                f"!has(self.columns) || self.format in ['{DatasetFormat.AUTO}',"
                f" '{DatasetFormat.COLUMNS}']",
                COLUMNS_REFUSED,
                field=".columns",
            ),
        )
    )

    train: Annotated[tuple[TrainSource, ...], Field(min_length=1, max_length=16)]
    """Sources of the training examples, read in this order. 1 to 16."""
    validation: Annotated[tuple[DataSource, ...], Field(min_length=1, max_length=16)] | None = None
    """Sources of the held-out examples. Absent: validationFraction decides."""
    validation_fraction: (
        Annotated[
            Fraction,
            Rules(
                Rule(
                    f"!self.matches(r'{FRACTION_PATTERN}') || double(self) <= 0.5",
                    "must be at most 0.5: most data is for training",
                )
            ),
        ]
        | None
    ) = None
    """Share of the training examples to hold out, chosen by training.seed; above 0, at most 0.5.
    Absent: "0.05" unless `validation` is given."""
    format: DatasetFormat = DatasetFormat.AUTO
    """Layout of a line: OpenAIChat (`{"messages": […]}`, as OpenAI documents it: with tools,
    tool_calls, and weight 0 for answers that are not learned), ShareGPT (`{"conversations":
    [{"from", "value"}]}`), Alpaca (`{"instruction", "input", "output"}`), Text (`{"text"}`),
    SpanQA (`{"question", "context", "answers": [{"text", "start"}]}`, where start counts
    characters), CoNLL (`{"tokens": […], "tags": […]}` with tags B-, I- and O, or files *.conll with
    a word and its tag in each line), Columns (any keys, see `columns`), PreferencePairs
    (`{"prompt", "chosen", "rejected"}`, each a text or messages), UnpairedPreference (`{"prompt",
    "completion", "label": true}`), or Auto: told by the first line. Default: Auto."""
    chat_template: Annotated[str, Field(min_length=1, max_length=32_768)] | None = None
    """Jinja template of conversations, in place of the model's own, for tasks that ask in one; it
    is published with the result. Absent: the model's."""
    columns: Columns | None = None
    """Keys of format Columns, which is then what Auto means. Absent: keys are named like the
    task's roles."""
