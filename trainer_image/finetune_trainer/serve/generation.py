"""One answer by `generate`: token by token, until the model, a limit or the client ends it."""

import copy
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import torch
from jinja2 import TemplateError
from transformers import GenerationConfig, StoppingCriteria, StoppingCriteriaList

from finetune_trainer.serve.errors import RequestError
from finetune_trainer.serve.models import Served
from finetune_trainer.serve.requests import AnyRequest, ChatRequest
from finetune_trainer.serve.text import TextStream

DEFAULT_TOKENS = 1024
"""Bound of an answer that the client did not bound: minutes on a processor, not hours."""


log = logging.getLogger(__name__)


class Finish(StrEnum):
    """Why an answer ended, in OpenAI's words."""

    STOP = "stop"
    LENGTH = "length"


@dataclass(frozen=True)
class Usage:
    """Tokens in and out."""

    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True)
class Started:
    """The request was accepted; text follows."""


@dataclass(frozen=True)
class Ended:
    """Nothing follows."""

    finish: Finish
    usage: Usage


Event = Started | str | Ended
"""What an answer is made of, in order: Started, pieces of text, Ended."""


def generate(
    served: Served,
    request: AnyRequest,
    emit: Callable[[Event], None],
    cancelled: threading.Event,
) -> None:
    """Answer, giving each event to `emit`; returns early when `cancelled` is set.

    With temperature 0 the tokens are exactly those of the model's own `generate(do_sample=False)`.

    Raises:
        RequestError: the prompt does not fit, or the chat template refuses it.
    """
    prompt = _prompt(served, request)
    room = served.context - len(prompt)
    if room < 1 or (request.token_limit or 0) > room:
        raise RequestError(
            f"the context of {served.name} is {served.context} tokens: the prompt has"
            f" {len(prompt)}, the answer may have {request.token_limit or 'more than none'}",
            param="messages" if isinstance(request, ChatRequest) else "prompt",
            code="context_length_exceeded",
        )
    limit = request.token_limit or min(room, DEFAULT_TOKENS)
    watch = _Watch(TextStream(served.tokenizer, request.stop), served.end_tokens, emit, cancelled)
    emit(Started())
    tokens = torch.tensor([prompt])
    with served.active() as model:
        if request.temperature > 0:
            torch.manual_seed(request.seed if request.seed is not None else torch.seed())
        model.generate(
            input_ids=tokens,
            attention_mask=torch.ones_like(tokens),
            generation_config=_configuration(served, request, limit),
            stopping_criteria=StoppingCriteriaList([watch]),
        )
    watch.end(len(prompt))
    log.info(
        "%s: %d tokens in, %d out%s",
        served.name,
        len(prompt),
        watch.count,
        ", then the client went away" if cancelled.is_set() else "",
    )


def _prompt(served: Served, request: AnyRequest) -> list[int]:
    if not isinstance(request, ChatRequest):
        return [int(token) for token in served.tokenizer(request.prompt)["input_ids"]]
    if not served.tokenizer.chat_template:
        raise RequestError(f"{served.name} has no chat template: use /v1/completions")
    try:
        encoded = served.tokenizer.apply_chat_template(
            [message.for_template() for message in request.messages],
            add_generation_prompt=True,
            return_dict=True,
        )
    except TemplateError as error:
        raise RequestError(
            f"the chat template of {served.name} refuses these messages: {error}", param="messages"
        ) from error
    return [int(token) for token in encoded["input_ids"]]


def _configuration(served: Served, request: AnyRequest, limit: int) -> GenerationConfig:
    """The model's own configuration, and what the request says."""
    configuration: GenerationConfig = copy.deepcopy(served.model.generation_config)
    sampled = request.temperature > 0
    configuration.update(  # type: ignore[no-untyped-call]
        do_sample=sampled,
        temperature=request.temperature if sampled else None,
        top_p=request.top_p if sampled else None,
        top_k=0 if sampled else None,  # OpenAI's API has none, transformers' default is 50
        max_new_tokens=limit,
        max_length=None,
        eos_token_id=served.end_tokens,
        pad_token_id=served.end_tokens[0] if served.end_tokens else 0,
    )
    return configuration


class _Watch(StoppingCriteria):
    """Sees each new token: passes its text on and says when to stop."""

    def __init__(
        self,
        text: TextStream,
        end_tokens: list[int],
        emit: Callable[[Event], None],
        cancelled: threading.Event,
    ) -> None:
        self._text = text
        self._end_tokens = frozenset(end_tokens)
        self._emit = emit
        self._cancelled = cancelled
        self.count = 0
        self._ended = False

    def __call__(self, input_ids: torch.Tensor, scores: object, **_: object) -> torch.BoolTensor:
        del scores
        token = int(input_ids[0, -1])
        self.count += 1
        self._ended = token in self._end_tokens
        if not self._ended:
            self._pass_on(self._text.push(token))
        stop = self._ended or self._text.finished or self._cancelled.is_set()
        return torch.tensor([stop])  # type: ignore[return-value] # torch has no typed booleans

    def end(self, prompt_tokens: int) -> None:
        """Give what was held back, and why it ended."""
        self._pass_on(self._text.flush())
        stopped = self._ended or self._text.finished
        finish = Finish.STOP if stopped else Finish.LENGTH
        self._emit(Ended(finish, Usage(prompt_tokens, self.count)))

    def _pass_on(self, text: str) -> None:
        if text:
            self._emit(text)
