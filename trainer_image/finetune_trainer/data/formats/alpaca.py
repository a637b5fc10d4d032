"""Alpaca: an instruction, what it is about, and the answer."""

from pydantic import Field

from finetune_trainer.data.formats.record import Line, Record, Role, Turn


class AlpacaLine(Line):
    """{"instruction": "…", "input": "…", "output": "…"}; `input` may be left out or empty."""

    instruction: str = Field(min_length=1)
    input: str = ""
    output: str = Field(min_length=1)

    def record(self) -> Record:
        question = f"{self.instruction}\n\n{self.input}" if self.input else self.instruction
        return Record(turns=(Turn(Role.USER, question), Turn(Role.ASSISTANT, self.output)))
