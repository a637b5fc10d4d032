"""Tokenize a conversation with the model's own chat template, and mask all but the answers.

No template marks what the assistant says, so it is found from what every template must do: the
prompt for an answer (the conversation before it, with add_generation_prompt) is a prefix of the
whole conversation, and the answer ends with a token of its own, which is learned too. A template
for which either does not hold is refused rather than guessed at.
"""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jinja2 import TemplateError, TemplateSyntaxError
from numpy.typing import NDArray

from finetune_trainer.data.examples import TokensExample
from finetune_trainer.data.formats import Role, Turn
from finetune_trainer.errors import ConfigurationError, DataError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_QUESTION, _ANSWER = "sample question", "sample answer"


class ChatTemplate:
    """The chat template of a tokenizer.

    Raises:
        ConfigurationError: the tokenizer has none, or it ends answers without a special token.
    """

    def __init__(self, tokenizer: "PreTrainedTokenizerBase") -> None:
        self._tokenizer = tokenizer
        if not tokenizer.chat_template:
            raise ConfigurationError(
                "the model's tokenizer has no chat template, which task Chat needs: "
                "choose an instruction-tuned model, or set task: Instruction"
            )
        if not tokenizer.is_fast:
            raise ConfigurationError(
                "the model has no tokenizer.json, so tokens cannot be traced back to the text: "
                "choose a model that ships one"
            )
        sample = self._render([Turn(Role.USER, _QUESTION), Turn(Role.ASSISTANT, _ANSWER)])
        self.end_token = self._end_token(sample)
        """Text of the special token that ends every answer, for example <|im_end|>."""
        self._control = [text for text in _special_tokens(tokenizer).values() if text in sample]

    def encode(self, turns: Sequence[Turn], tools: Sequence[dict[str, Any]] = ()) -> TokensExample:
        """Tokens of the conversation; supervised are the answers, their end tokens included.

        Calls of tools are part of an answer; answers of weight 0 are read, but not learned.

        A token that begins before an answer belongs to the prompt, though it may reach into the
        answer: the model never has to start it.

        Raises:
            DataError: no answer, text of control tokens in a message, or turns in an order that
                the template refuses.
            ConfigurationError: the template is not one that this method can follow.
        """
        self._refuse_control_tokens(turns)
        text = self._render(turns, tools)
        _refuse_what_is_left_out(text, turns, tools)
        spans = [
            self._answer_span(text, turns, tools, index)
            for index, turn in enumerate(turns)
            if turn.role is Role.ASSISTANT and turn.learned
        ]
        if not spans:
            raise DataError(
                "no message of role assistant (and weight 1), so there is nothing to learn"
            )
        encoded = self._tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        at = _positions(encoded["offset_mapping"])
        supervised = np.zeros(len(at), dtype=np.bool_)
        for start, end in spans:
            supervised |= (start <= at) & (at < end)
        return TokensExample(np.array(encoded["input_ids"], dtype=np.int64), supervised)

    def _answer_span(
        self, text: str, turns: Sequence[Turn], tools: Sequence[dict[str, Any]], index: int
    ) -> tuple[int, int]:
        prompt = self._render(turns[:index], tools, add_generation_prompt=True)
        if not text.startswith(prompt):
            raise ConfigurationError(
                "the model's chat template renders a conversation differently once it goes on, so "
                "what the assistant says cannot be told apart: choose a model with another template"
            )
        end = text.find(self.end_token, len(prompt))
        if end < 0:
            raise ConfigurationError(
                f"the model's chat template leaves out {self.end_token} after message {index + 1}: "
                "choose a model with another template"
            )
        return len(prompt), end + len(self.end_token)

    def _render(
        self,
        turns: Sequence[Turn],
        tools: Sequence[dict[str, Any]] = (),
        *,
        add_generation_prompt: bool = False,
    ) -> str:
        try:
            text = self._tokenizer.apply_chat_template(
                [_message(turn) for turn in turns],
                tools=list(tools) or None,
                tokenize=False,
                add_generation_prompt=add_generation_prompt,
            )
        except TemplateSyntaxError as error:
            raise ConfigurationError(
                f"the chat template cannot be read, line {error.lineno}: {error.message}: correct "
                "dataset.chatTemplate, or choose a model with another template"
            ) from error
        except (TemplateError, ValueError) as error:
            roles = ", ".join(turn.role for turn in turns)
            raise DataError(
                f"the model's chat template refuses the messages ({roles}): {error}"
            ) from error
        return str(text)

    def _end_token(self, sample: str) -> str:
        after = sample.find(_ANSWER) + len(_ANSWER)
        encoded = self._tokenizer(sample, add_special_tokens=False, return_offsets_mapping=True)
        special = _special_tokens(self._tokenizer)
        for token, (start, _) in zip(encoded["input_ids"], encoded["offset_mapping"], strict=True):
            if start >= after:
                if token in special:
                    return special[token]
                break
        raise ConfigurationError(
            "the model's chat template ends an answer without a special token, so the tuned model "
            "would never stop: choose a model with another template"
        )

    def _refuse_control_tokens(self, turns: Sequence[Turn]) -> None:
        for number, turn in enumerate(turns, start=1):
            for token in self._control:
                if any(token in said for said in _texts(turn)):
                    raise DataError(
                        f"message {number} contains {token}, which the model reads as the border "
                        "of a message: remove it from the text"
                    )


def _message(turn: Turn) -> dict[str, Any]:
    message: dict[str, Any] = {"role": turn.role.value, "content": turn.content}
    if turn.tool_calls:
        message["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in turn.tool_calls
        ]
    if turn.tool_call_id:
        message["tool_call_id"] = turn.tool_call_id
    return message


def _texts(turn: Turn) -> list[str]:
    """All that a message says."""
    calls = (
        text
        for call in turn.tool_calls
        for text in (call.name, json.dumps(call.arguments, ensure_ascii=False))
    )
    return [turn.content, *calls]


def _refuse_what_is_left_out(
    text: str, turns: Sequence[Turn], tools: Sequence[dict[str, Any]]
) -> None:
    """Many templates know no tools and pass over them without a word."""
    named = [call.name for turn in turns for call in turn.tool_calls]
    named += [str(tool.get("function", tool).get("name", "")) for tool in tools]
    results = [turn.content for turn in turns if turn.role is Role.TOOL]
    if any(name not in text for name in named) or any(
        result.strip() not in text for result in results
    ):
        raise DataError(
            "the model's chat template leaves out tools, their calls or their results: "
            "choose a model that was made to call tools"
        )


def _special_tokens(tokenizer: "PreTrainedTokenizerBase") -> dict[int, str]:
    """Their texts by id."""
    added = tokenizer.added_tokens_decoder
    return {number: token.content for number, token in added.items() if token.special}


def _positions(offsets: Sequence[tuple[int, int]]) -> NDArray[np.int64]:
    """Where each token begins in the text.

    Byte-level tokenizers trim spaces off offsets, so that a token of spaces only has no width and
    lies before its offset.
    """
    starts, ends = np.array(offsets, dtype=np.int64).reshape(-1, 2).T
    return starts - (ends <= starts)
