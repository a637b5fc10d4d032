"""What a line of a dataset may be, a file each, and the one form that tasks see.

Adding a format: a file with a model of its line and its `record()`, and a line in FORMATS.
"""

from finetune_trainer.data.formats.alpaca import AlpacaLine
from finetune_trainer.data.formats.openai_chat import OpenAIChatLine
from finetune_trainer.data.formats.record import Line, Record, Role, ToolCall, Turn
from finetune_trainer.data.formats.share_gpt import ShareGPTLine
from finetune_trainer.data.formats.text import TextLine
from finetune_trainer.recipe import DatasetFormat

__all__ = [
    "FORMATS",
    "AlpacaLine",
    "Line",
    "OpenAIChatLine",
    "Record",
    "Role",
    "ShareGPTLine",
    "TextLine",
    "ToolCall",
    "Turn",
    "describe",
    "detect",
]

FORMATS: dict[DatasetFormat, type[Line]] = {
    DatasetFormat.OPENAI_CHAT: OpenAIChatLine,
    DatasetFormat.SHARE_GPT: ShareGPTLine,
    DatasetFormat.ALPACA: AlpacaLine,
    DatasetFormat.TEXT: TextLine,
}


def detect(keys: set[str]) -> DatasetFormat | None:
    """The one format whose required keys a line has; None when it is none of them, or several."""
    found = [name for name, model in FORMATS.items() if _required(model) <= keys]
    return found[0] if len(found) == 1 else None


def describe() -> str:
    """The known formats and their keys, for messages."""
    return ", ".join(f"{name} ({', '.join(model.model_fields)})" for name, model in FORMATS.items())


def _required(model: type[Line]) -> set[str]:
    return {key for key, field in model.model_fields.items() if field.is_required()}
