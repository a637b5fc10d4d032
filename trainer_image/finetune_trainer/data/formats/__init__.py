"""What a line of a dataset may be, a file each, and the one form that tasks see.

Adding a format: a file with a model of its line and its `record()`, and a line in FORMATS.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from finetune_trainer.data.formats.alpaca import AlpacaLine
from finetune_trainer.data.formats.columns import columns_line
from finetune_trainer.data.formats.conll import CoNLLLine
from finetune_trainer.data.formats.openai_chat import OpenAIChatLine
from finetune_trainer.data.formats.preference import PreferencePairLine, UnpairedPreferenceLine
from finetune_trainer.data.formats.record import (
    ColumnValues,
    Line,
    Record,
    Reply,
    Role,
    Span,
    SpanQuestion,
    ToolCall,
    Turn,
)
from finetune_trainer.data.formats.share_gpt import ShareGPTLine
from finetune_trainer.data.formats.span_qa import SpanQALine
from finetune_trainer.data.formats.text import TextLine
from finetune_trainer.recipe import Columns, DatasetFormat, Task
from finetune_trainer.rules import TASK_COLUMNS, TASK_FORMATS

__all__ = [
    "FORMATS",
    "AlpacaLine",
    "CoNLLLine",
    "ColumnValues",
    "Formats",
    "Line",
    "OpenAIChatLine",
    "PreferencePairLine",
    "Record",
    "Reply",
    "Role",
    "ShareGPTLine",
    "Span",
    "SpanQALine",
    "SpanQuestion",
    "TextLine",
    "ToolCall",
    "Turn",
    "UnpairedPreferenceLine",
    "formats_for",
]

FORMATS: dict[DatasetFormat, type[Line]] = {
    DatasetFormat.OPENAI_CHAT: OpenAIChatLine,
    DatasetFormat.SHARE_GPT: ShareGPTLine,
    DatasetFormat.ALPACA: AlpacaLine,
    DatasetFormat.TEXT: TextLine,
    DatasetFormat.SPAN_QA: SpanQALine,
    DatasetFormat.CONLL: CoNLLLine,
    DatasetFormat.PREFERENCE_PAIRS: PreferencePairLine,
    DatasetFormat.UNPAIRED_PREFERENCE: UnpairedPreferenceLine,
}
"""Those of which a line is the same whatever the task: all but Columns."""


@dataclass(frozen=True)
class Formats:
    """The formats that a task can be learned from, and those that only others can."""

    accepted: Mapping[DatasetFormat, type[Line]]
    others: Mapping[DatasetFormat, type[Line]]

    def __getitem__(self, name: DatasetFormat) -> type[Line]:
        return self.accepted[name] if name in self.accepted else self.others[name]

    def detect(self, keys: set[str]) -> DatasetFormat | None:
        """The one format whose required keys a line has; None when it is none of them, or several.

        Another task's format is told too, so that it can be refused by its name.
        """
        for group in (self.accepted, self.others):
            found = [name for name, model in group.items() if _required(model) <= keys]
            if found:
                return found[0] if len(found) == 1 else None
        return None

    def describe(self) -> str:
        """The formats and their keys, for messages."""
        known = {**self.accepted, **self.others}
        return ", ".join(f"{name} ({', '.join(_keys(model))})" for name, model in known.items())


def formats_for(task: Task, columns: Columns) -> Formats:
    """The formats of a task, whose lines have these keys where they are of format Columns."""
    known = dict(FORMATS)
    if task in TASK_COLUMNS:
        known[DatasetFormat.COLUMNS] = columns_line(TASK_COLUMNS[task], columns)
    accepted = {name: known[name] for name in TASK_FORMATS[task]}
    return Formats(accepted, {name: each for name, each in known.items() if name not in accepted})


def _keys(model: type[Line]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def _required(model: type[Line]) -> set[str]:
    return {
        field.alias or name for name, field in model.model_fields.items() if field.is_required()
    }
