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


@dataclass(frozen=True)
class Record:
    """A line as tasks see it: a conversation, plain text as one assistant-less document, or
    values by role."""

    turns: tuple[Turn, ...] = ()
    text: str = ""
    tools: tuple[dict[str, Any], ...] = ()
    """Functions that the assistant may call in the conversation, as JSON schemas."""
    columns: ColumnValues = ColumnValues()
    """Of format Columns."""


class Strict(BaseModel):
    """A part of a line; strict, so that a number is not taken for its digits."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Line(Strict, ABC):
    """A line of a file."""

    @abstractmethod
    def record(self) -> Record:
        """The line as tasks see it."""
