"""ShareGPT: conversations as they were first collected, with words of their own for the roles."""

from enum import StrEnum
from typing import Any

from pydantic import Field

from finetune_trainer.data.formats.record import Line, Record, Role, Strict, Turn


class _Speaker(StrEnum):
    SYSTEM = "system"
    HUMAN = "human"
    USER = "user"
    GPT = "gpt"
    ASSISTANT = "assistant"


_ROLES = {
    _Speaker.SYSTEM: Role.SYSTEM,
    _Speaker.HUMAN: Role.USER,
    _Speaker.USER: Role.USER,
    _Speaker.GPT: Role.ASSISTANT,
    _Speaker.ASSISTANT: Role.ASSISTANT,
}


class _Said(Strict):
    # Not strict: JSON has no enum. `from` is a word of Python's.
    speaker: _Speaker = Field(alias="from", strict=False)
    value: str


class ShareGPTLine(Line):
    """{"conversations": [{"from": "human", "value": "…"}, {"from": "gpt", "value": "…"}]}

    `id`, which most such files have, is not read.
    """

    conversations: list[_Said] = Field(min_length=1)
    system: str = ""
    id: Any = None

    def record(self) -> Record:
        system = (Turn(Role.SYSTEM, self.system),) if self.system else ()
        said = tuple(Turn(_ROLES[each.speaker], each.value) for each in self.conversations)
        return Record(turns=system + said)
