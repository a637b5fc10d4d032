"""SpanQA: questions about a text, answered by a part of it, as SQuAD has them."""

from typing import Annotated, Any, Self

from pydantic import Discriminator, Field, Tag, model_validator

from finetune_trainer.data.formats.record import Line, Record, Span, SpanQuestion, Strict


class _Answer(Strict):
    text: str = Field(min_length=1)
    start: int = Field(ge=0)


class _Columns(Strict):
    """The same as lists beside each other, as the `datasets` library writes SQuAD."""

    text: list[str]
    answer_start: list[int]

    @model_validator(mode="after")
    def _of_one_length(self) -> Self:
        if len(self.text) != len(self.answer_start):
            raise ValueError(f"{len(self.text)} texts, but {len(self.answer_start)} starts")
        return self


class SpanQALine(Line):
    """{"question": "…", "context": "…", "answers": [{"text": "…", "start": 17}]}

    `start` counts characters. No answers: the text does not say. `id` and `title`, which many such
    files have, are not read.
    """

    question: str = Field(min_length=1)
    context: str = Field(min_length=1)
    answers: Annotated[
        Annotated[list[_Answer], Tag("list")] | Annotated[_Columns, Tag("columns")],
        Discriminator(lambda given: "columns" if isinstance(given, dict) else "list"),
    ]
    id: Any = None
    title: Any = None

    @model_validator(mode="after")
    def _where_they_are_said_to_be(self) -> Self:
        for each in self._spans():
            found = self.context[each.start : each.start + len(each.text)]
            if not each.text or found != each.text:
                raise ValueError(
                    f"the answer {each.text!r} is not at character {each.start} of the context,"
                    f" where {found!r} is: correct its start"
                )
        return self

    def record(self) -> Record:
        return Record(span_question=SpanQuestion(self.question, self.context, self._spans()))

    def _spans(self) -> tuple[Span, ...]:
        if isinstance(self.answers, _Columns):
            pairs = zip(self.answers.text, self.answers.answer_start, strict=True)
            return tuple(Span(text, start) for text, start in pairs)
        return tuple(Span(each.text, each.start) for each in self.answers)
