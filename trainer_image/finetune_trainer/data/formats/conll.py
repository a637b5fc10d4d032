"""CoNLL: sentences of words, each with a tag that says of which entity it is (BIO).

As a file of its own, .conll, a line for each word, or as JSON lines; both are the same to a task.
"""

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Annotated, Self

from pydantic import Field, model_validator

from finetune_trainer.data.formats.record import Line, Record
from finetune_trainer.errors import DataError

SENTENCES = ".conll"
"""Suffix of files with a line for each word."""

OUTSIDE = "O"
"""The tag of words that are of no entity."""

_DOCUMENT = "-DOCSTART-"


class CoNLLLine(Line):
    """{"tokens": ["Ada", "Lovelace", "wrote"], "tags": ["B-PERSON", "I-PERSON", "O"]}

    B- begins an entity, I- goes on with one of the same type. `id`, which many such files have, is
    not read.
    """

    tokens: list[Annotated[str, Field(min_length=1)]] = Field(min_length=1)
    tags: list[str]
    id: str | int | None = None

    @model_validator(mode="after")
    def _one_tag_a_word(self) -> Self:
        if len(self.tokens) != len(self.tags):
            raise ValueError(f"{len(self.tokens)} tokens, but {len(self.tags)} tags")
        before = OUTSIDE
        for position, (word, tag) in enumerate(zip(self.tokens, self.tags, strict=True), start=1):
            kind, dash, entity = tag.partition("-")
            if tag != OUTSIDE and not (kind in ("B", "I") and dash and entity):
                raise ValueError(
                    f"the tag {tag!r} of token {position} ({word}) is not O, B-… or I-…: write the"
                    " tags as BIO"
                )
            if kind == "I" and before[2:] != entity:
                raise ValueError(
                    f"token {position} ({word}) is tagged {tag} after {before}: the first word of"
                    f" an entity is tagged B-{entity} (BIO, also called IOB2)"
                )
            before = tag
        return self

    def record(self) -> Record:
        return Record(words=tuple(self.tokens), tags=tuple(self.tags))


def sentences(lines: Iterable[tuple[str, str]]) -> Iterator[tuple[str, dict[str, object]]]:
    """Blank lines end a sentence; of a line the first column is the word, the last its tag.

    Args:
        lines: place and text of each.

    Raises:
        DataError: a line has one column only.
    """
    place, tokens, tags = "", list[str](), list[str]()
    for here, text in chain(lines, [("", "")]):
        columns = text.split()
        if columns and columns[0] == _DOCUMENT:
            continue
        if not columns and tokens:
            yield place, {"tokens": tokens, "tags": tags}
            tokens, tags = [], []
        elif len(columns) == 1:
            raise DataError(
                f"{here}: a word without a tag; a line is a word, other columns if any, and its tag"
            )
        elif columns:
            place = place if tokens else here
            tokens.append(columns[0])
            tags.append(columns[-1])
