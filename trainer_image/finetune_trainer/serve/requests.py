"""Requests of the OpenAI API as far as they are obeyed; the rest is refused by name."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from finetune_trainer.serve.errors import RequestError

_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "n": (1,),
    "best_of": (1,),
    "echo": (False,),
    "suffix": ("",),
    "logprobs": (False, 0),
    "top_logprobs": (0,),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "logit_bias": ({},),
    "response_format": ({"type": "text"},),
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "store": (False,),
}
"""Parameters that this server does not have: only the values that ask for nothing are taken."""

_WITHOUT_EFFECT = frozenset({"user", "metadata", "parallel_tool_calls", "service_tier"})
"""Parameters that say nothing about the answer."""


class _Part(BaseModel):
    type: Literal["text"]
    text: str


def _joined(content: object) -> object:
    """Content given as parts becomes one text."""
    if isinstance(content, list):
        return "".join(_Part.model_validate(part).text for part in content)
    return content


class ChatMessage(BaseModel):
    """One turn."""

    model_config = ConfigDict(extra="forbid")

    role: Literal["system", "developer", "user", "assistant"]
    content: Annotated[str, BeforeValidator(_joined)]
    name: str | None = None

    def for_template(self) -> dict[str, str]:
        """As chat templates know it: `developer` is OpenAI's newer word for `system`."""
        return {
            "role": "system" if self.role == "developer" else self.role,
            "content": self.content,
        }


class StreamOptions(BaseModel):
    model_config = ConfigDict(extra="forbid")

    include_usage: bool = False


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid")

    model: str
    stream: bool = False
    stream_options: StreamOptions = StreamOptions()
    temperature: float = Field(default=1.0, ge=0, le=2)
    top_p: float = Field(default=1.0, gt=0, le=1)
    max_tokens: int | None = Field(default=None, ge=1)
    stop: Annotated[list[str], BeforeValidator(_listed), Field(max_length=4)] = []
    seed: int | None = Field(default=None, ge=-(2**63), lt=2**63)

    @model_validator(mode="before")
    @classmethod
    def _refuse_what_is_not_obeyed(cls, body: object) -> object:
        if not isinstance(body, dict):
            return body
        kept = {key: value for key, value in body.items() if value is not None}
        for key, values in _NEUTRAL.items():
            if key in kept and kept.pop(key) not in values:
                raise RequestError(
                    f"{key} is not supported by this server", param=key, code="unsupported_value"
                )
        return {key: value for key, value in kept.items() if key not in _WITHOUT_EFFECT}

    @property
    def token_limit(self) -> int | None:
        return self.max_tokens


class ChatRequest(_Request):
    """POST /v1/chat/completions."""

    messages: list[ChatMessage] = Field(min_length=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)

    path: ClassVar[str] = "/v1/chat/completions"

    @property
    def token_limit(self) -> int | None:
        return self.max_completion_tokens or self.max_tokens


class TextRequest(_Request):
    """POST /v1/completions."""

    prompt: str

    path: ClassVar[str] = "/v1/completions"


AnyRequest = ChatRequest | TextRequest


def parse(kind: type[ChatRequest] | type[TextRequest], body: object) -> AnyRequest:
    """Raises RequestError naming the first parameter that is wrong."""
    try:
        return kind.model_validate(body)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        param = ".".join(str(part) for part in first["loc"]) or None
        if first["type"] == "extra_forbidden":
            raise RequestError(f"unrecognized request argument: {param}", param=param) from error
        raise RequestError(f"{param or 'request'}: {first['msg']}", param=param) from error
