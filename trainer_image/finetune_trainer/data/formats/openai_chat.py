"""OpenAIChat: the layout of OpenAI's fine-tuning files, tools and weights included."""

import json
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from finetune_trainer.data.formats.record import Line, Record, Role, Strict, ToolCall, Turn


class _Function(Strict):
    name: str = Field(min_length=1)
    arguments: str
    """A JSON object as text."""

    @field_validator("arguments")
    @classmethod
    def _object(cls, arguments: str) -> str:
        try:
            value = json.loads(arguments)
        except json.JSONDecodeError as error:
            raise ValueError(f"not JSON: {error.msg} at column {error.colno}") from error
        except RecursionError as error:
            raise ValueError("values are nested too deeply") from error
        if not isinstance(value, dict):
            raise ValueError("not a JSON object")
        return arguments


class _ToolCall(Strict):
    id: str = ""
    type: Literal["function"] = "function"
    function: _Function

    def call(self) -> ToolCall:
        return ToolCall(self.function.name, json.loads(self.function.arguments), self.id)


class Message(Strict):
    """One message of a conversation."""

    # Not strict: JSON has no enum.
    role: Role = Field(strict=False)
    content: str | None = None
    tool_calls: list[_ToolCall] = Field(default_factory=list)
    tool_call_id: str = ""
    weight: Literal[0, 1] = 1

    @model_validator(mode="after")
    def _fields_of_its_role(self) -> Self:
        if self.role is not Role.ASSISTANT and (self.tool_calls or not self.weight):
            raise ValueError("tool_calls and weight belong to messages of role assistant")
        if self.role is not Role.TOOL and self.tool_call_id:
            raise ValueError("tool_call_id belongs to messages of role tool")
        if self.content is None and not self.tool_calls:
            raise ValueError("content is missing; only a message with tool_calls may do without")
        return self

    def turn(self) -> Turn:
        calls = tuple(each.call() for each in self.tool_calls)
        return Turn(self.role, self.content or "", calls, self.tool_call_id, bool(self.weight))


class OpenAIChatLine(Line):
    """{"messages": [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]}

    A message of the assistant may carry `tool_calls`, and `"weight": 0` when it is not to be
    learned; `tools` describes the functions it may call.
    """

    messages: list[Message] = Field(min_length=1)
    tools: list[dict[str, Any]] = Field(default_factory=list)

    def record(self) -> Record:
        return Record(
            turns=tuple(message.turn() for message in self.messages), tools=tuple(self.tools)
        )
