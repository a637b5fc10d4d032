"""What a line of a dataset may be, and the one form that tasks see.

Adding a format: a model of its line with `record()`, and a line in FORMATS.
"""

from dataclasses import dataclass
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from finetune_trainer.recipe import DatasetFormat


class Role(StrEnum):
    """Who speaks in a conversation."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"


@dataclass(frozen=True)
class Turn:
    """One message of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True)
class Record:
    """A line as tasks see it: a conversation, or plain text as one assistant-less document."""

    turns: tuple[Turn, ...] = ()
    text: str = ""


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Message(_Line):
    # Not strict: JSON has no enum.
    role: Role = Field(strict=False)
    content: str


class OpenAIChatLine(_Line):
    """{"messages": [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]}"""

    messages: list[_Message] = Field(min_length=1)

    def record(self) -> Record:
        return Record(turns=tuple(Turn(turn.role, turn.content) for turn in self.messages))


class AlpacaLine(_Line):
    """{"instruction": "…", "input": "…", "output": "…"}; `input` may be left out or empty."""

    instruction: str = Field(min_length=1)
    input: str = ""
    output: str = Field(min_length=1)

    def record(self) -> Record:
        question = f"{self.instruction}\n\n{self.input}" if self.input else self.instruction
        return Record(turns=(Turn(Role.USER, question), Turn(Role.ASSISTANT, self.output)))


class TextLine(_Line):
    """{"text": "…"}"""

    text: str = Field(min_length=1)

    def record(self) -> Record:
        return Record(text=self.text)


Line = OpenAIChatLine | AlpacaLine | TextLine

FORMATS: dict[DatasetFormat, type[Line]] = {
    DatasetFormat.OPENAI_CHAT: OpenAIChatLine,
    DatasetFormat.ALPACA: AlpacaLine,
    DatasetFormat.TEXT: TextLine,
}


def detect(keys: set[str]) -> DatasetFormat | None:
    """The format whose required keys a line has; None when it is none of them."""
    for name, model in FORMATS.items():
        required = {key for key, field in model.model_fields.items() if field.is_required()}
        if required <= keys:
            return name
    return None


def describe() -> str:
    """The known formats and their keys, for messages."""
    return ", ".join(f"{name} ({', '.join(model.model_fields)})" for name, model in FORMATS.items())
