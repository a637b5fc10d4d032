"""Responses of the OpenAI API: whole, and as server-sent events."""

import time
import uuid
from dataclasses import dataclass, field
from typing import Any

from finetune_trainer.serve.generation import Ended, Finish, Usage
from finetune_trainer.serve.requests import ChatRequest, TextRequest


@dataclass(frozen=True)
class Answer:
    """The frame of one answer: its id, time and model are the same in every part."""

    kind: type[ChatRequest] | type[TextRequest]
    model: str
    created: int = field(default_factory=lambda: int(time.time()))
    key: str = field(default_factory=lambda: uuid.uuid4().hex)

    def whole(self, text: str, ended: Ended) -> dict[str, Any]:
        """The response when nothing is streamed."""
        choice: dict[str, Any] = {"index": 0, "finish_reason": ended.finish, "logprobs": None}
        if self._is_chat:
            choice["message"] = {"role": "assistant", "content": text, "refusal": None}
        else:
            choice["text"] = text
        frame = self._frame("chat.completion" if self._is_chat else "text_completion", [choice])
        return frame | {"usage": usage(ended.usage)}

    def opening(self) -> dict[str, Any] | None:
        """The chunk before any text, which only a chat has."""
        return self._chunk({"role": "assistant", "content": ""}) if self._is_chat else None

    def piece(self, text: str) -> dict[str, Any]:
        """A chunk of text."""
        return self._chunk({"content": text}) if self._is_chat else self._chunk(text)

    def closing(self, finish: Finish) -> dict[str, Any]:
        """The chunk that says why it ended."""
        return self._chunk({} if self._is_chat else "", finish)

    def accounting(self, tokens: Usage) -> dict[str, Any]:
        """The chunk that follows when stream_options.include_usage is set."""
        return self._frame(self._chunk_type, []) | {"usage": usage(tokens)}

    @property
    def _is_chat(self) -> bool:
        return self.kind is ChatRequest

    @property
    def _chunk_type(self) -> str:
        return "chat.completion.chunk" if self._is_chat else "text_completion"

    def _chunk(self, content: object, finish: Finish | None = None) -> dict[str, Any]:
        member = "delta" if self._is_chat else "text"
        choice = {"index": 0, member: content, "finish_reason": finish, "logprobs": None}
        return self._frame(self._chunk_type, [choice])

    def _frame(self, type_: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
        prefix = "chatcmpl" if self._is_chat else "cmpl"
        return {
            "id": f"{prefix}-{self.key}",
            "object": type_,
            "created": self.created,
            "model": self.model,
            "choices": choices,
        }


def usage(tokens: Usage) -> dict[str, int]:
    return {
        "prompt_tokens": tokens.prompt_tokens,
        "completion_tokens": tokens.completion_tokens,
        "total_tokens": tokens.prompt_tokens + tokens.completion_tokens,
    }
