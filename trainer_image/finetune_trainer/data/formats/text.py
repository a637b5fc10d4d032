"""Text: documents without roles."""

from pydantic import Field

from finetune_trainer.data.formats.record import Line, Record


class TextLine(Line):
    """{"text": "…"}"""

    text: str = Field(min_length=1)

    def record(self) -> Record:
        return Record(text=self.text)
