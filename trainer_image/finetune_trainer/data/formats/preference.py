"""PreferencePairs and UnpairedPreference: replies that were judged, in the layouts that TRL reads.

Text in the place of messages is one message: of the user in `prompt`, of the assistant in a reply.
So plain data are asked and answered in the model's own chat template.
"""

from collections.abc import Sequence
from itertools import takewhile
from typing import Annotated, Any, Self

from pydantic import Discriminator, Field, Tag, model_validator

from finetune_trainer.data.formats.openai_chat import Message
from finetune_trainer.data.formats.record import Line, Record, Reply, Role, Turn

_Messages = Annotated[list[Message], Field(min_length=1)]


def _kind(said: object) -> str | None:
    if isinstance(said, str):
        return "text"
    return "messages" if isinstance(said, list) else None


_Said = Annotated[
    Annotated[str, Field(min_length=1), Tag("text")] | Annotated[_Messages, Tag("messages")],
    Discriminator(
        _kind,
        custom_error_type="said",
        custom_error_message="Input should be a text or a list of messages",
    ),
]


class _JudgedLine(Line):
    prompt: _Said | None = None
    messages: _Messages | None = None
    """Another word for a prompt of messages."""
    tools: list[dict[str, Any]] = Field(default_factory=list)

    @model_validator(mode="after")
    def _one_prompt(self) -> Self:
        if self.prompt is not None and self.messages is not None:
            raise ValueError("prompt and messages say the same: give one of them")
        return self

    def _record(self, said: Sequence[tuple[str | list[Message], bool]]) -> Record:
        """Of replies, and whether each is desirable.

        Raises:
            ValueError: where a prompt or a reply should be there is none.
        """
        replies = [_turns(reply, Role.ASSISTANT) for reply, _ in said]
        prompt = self._prompt(replies)
        replies = [_after(prompt, reply) for reply in replies]
        if Role.USER not in {turn.role for turn in prompt}:
            raise ValueError("there is no message of role user before the replies: give a prompt")
        for reply in replies:
            ends = {reply[0].role, reply[-1].role} if reply else set()
            if ends != {Role.ASSISTANT}:
                raise ValueError("a reply begins and ends with a message of role assistant")
        if len(replies) > 1 and replies[0] == replies[1]:
            raise ValueError("chosen and rejected are the same, so neither is preferred")
        judged = zip(replies, (desirable for _, desirable in said), strict=True)
        return Record(
            turns=prompt,
            tools=tuple(self.tools),
            replies=tuple(Reply(reply, desirable) for reply, desirable in judged),
        )

    def _prompt(self, replies: Sequence[tuple[Turn, ...]]) -> tuple[Turn, ...]:
        given = self.prompt if self.messages is None else self.messages
        if given is not None:
            return _turns(given, Role.USER)
        pairs = zip(replies[0], replies[-1], strict=False)
        common = [turn for turn, _ in takewhile(lambda pair: pair[0] == pair[1], pairs)]
        while common and common[-1].role is Role.ASSISTANT:
            common.pop()  # what both replies begin with is part of them
        return tuple(common)


class PreferencePairLine(_JudgedLine):
    """{"prompt": …, "chosen": …, "rejected": …}, each a text or messages; without `prompt` (or
    `messages`) both replies are whole conversations, and what they have in common is the prompt."""

    chosen: _Said
    rejected: _Said

    def record(self) -> Record:
        return self._record([(self.chosen, True), (self.rejected, False)])


class UnpairedPreferenceLine(_JudgedLine):
    """{"prompt": …, "completion": …, "label": true}; false where the completion is undesirable."""

    completion: _Said
    label: bool

    @model_validator(mode="after")
    def _prompt_given(self) -> Self:
        if self.prompt is None and self.messages is None:
            raise ValueError("prompt is missing: a text, or messages")
        return self

    def record(self) -> Record:
        return self._record([(self.completion, self.label)])


def _turns(said: str | list[Message], role: Role) -> tuple[Turn, ...]:
    if isinstance(said, str):
        return (Turn(role, said),)
    return tuple(message.turn() for message in said)


def _after(prompt: tuple[Turn, ...], reply: tuple[Turn, ...]) -> tuple[Turn, ...]:
    """The reply alone, where it was given as the whole conversation."""
    return reply[len(prompt) :] if reply[: len(prompt)] == prompt else reply
