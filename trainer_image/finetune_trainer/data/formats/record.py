"""The one form in which tasks see a line, whatever its format."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict


class Role(StrEnum):
    """Who speaks in a conversation."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


@dataclass(frozen=True)
class ToolCall:
    """A function that the assistant asks for."""

    name: str
    arguments: dict[str, Any]
    id: str = ""


@dataclass(frozen=True)
class Turn:
    """One message of a conversation."""

    role: Role
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    """Of the assistant only."""
    tool_call_id: str = ""
    """Which call a message of role tool answers."""
    learned: bool = True
    """False: an answer that is shown, but not learned (`"weight": 0`)."""


@dataclass(frozen=True)
class ColumnValues:
    """What a line of format Columns holds, by role; only the roles of the task are filled in."""

    question: str = ""
    answer: str | tuple[str, ...] = ()
    """Several: each is right, the first is learned."""
    context: str = ""
    source: str = ""
    target: str | tuple[str, ...] = ()
    """As `answer`."""
    text: str = ""
    text_pair: str = ""
    """A second text, of which the first says something."""
    label: str | tuple[str, ...] = ""
    """Several: all that are true, maybe none."""


@dataclass(frozen=True)
class Span:
    """A part of a text."""

    text: str
    start: int
    """Characters before it."""


@dataclass(frozen=True)
class SpanQuestion:
    """A question whose answers are parts of a text."""

    question: str
    context: str
    answers: tuple[Span, ...]
    """All that are right; none where the text does not answer."""


@dataclass(frozen=True)
class Reply:
    """A reply that was judged."""

    turns: tuple[Turn, ...]
    desirable: bool


@dataclass(frozen=True)
class Record:
    """A line as tasks see it, in one of these forms."""

    turns: tuple[Turn, ...] = ()
    text: str = ""
    """Plain text, as one document without roles."""
    words: tuple[str, ...] = ()
    """A sentence, with a tag for each word."""
    tags: tuple[str, ...] = ()
    span_question: SpanQuestion | None = None
    tools: tuple[dict[str, Any], ...] = ()
    """Functions that the assistant may call in the conversation, as JSON schemas."""
    columns: ColumnValues = ColumnValues()
    """Of format Columns."""
    replies: tuple[Reply, ...] = ()
    """Judged ways in which `turns` went on: of a pair the desirable one first."""


class Strict(BaseModel):
    """A part of a line; strict, so that a number is not taken for its digits."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Line(Strict, ABC):
    """A line of a file."""

    @abstractmethod
    def record(self) -> Record:
        """The line as tasks see it.

        Raises:
            ValueError: its parts do not go together.
        """
