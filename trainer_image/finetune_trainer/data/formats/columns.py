"""Columns: objects with any keys, of which dataset.columns says what they are."""

from typing import Annotated, Any

from pydantic import ConfigDict, Field, PlainValidator, create_model

from finetune_trainer.data.formats.record import ColumnValues, Line, Record
from finetune_trainer.recipe import Columns
from finetune_trainer.rules import Roles


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"is {_shown(value)}, and must be text")
    return value


def _text_or_none(value: object) -> str:
    if value is not None and not isinstance(value, str):
        raise ValueError(f"is {_shown(value)}, and must be text, null or left out")
    return value or ""


def _text_or_several(value: object) -> str | tuple[str, ...]:
    if not isinstance(value, list):
        return _text(value)
    if not value:
        raise ValueError("is an empty list, and must hold at least one text")
    return tuple(_text(each) for each in value)


def _shown(value: object) -> str:
    return "empty" if value in ("", [], {}, None) else f"a {type(value).__name__}"


def _label(value: object) -> str | tuple[str, ...]:
    if isinstance(value, list):
        return tuple(_one_label(each) for each in value)
    return _one_label(value)


def _one_label(value: object) -> str:
    """Numbers are as usual as names, and are names here."""
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return str(value) if is_number else _text(value)


REQUIRED: dict[str, Any] = {"answer": _text_or_several, "target": _text_or_several, "label": _label}
"""How the values of a role are read that a line must have, where they are more than text."""


class _ColumnsLine(Line):
    """Keys that no role names are not read."""

    model_config = ConfigDict(extra="ignore")

    def record(self) -> Record:
        return Record(columns=ColumnValues(**dict(self)))


def columns_line(roles: Roles, columns: Columns) -> type[Line]:
    """The model of a line for a task with these roles.

    A role that is optional may be left out of a line, unless dataset.columns names its key: a key
    that is misspelt would otherwise leave it out of every line without a word.
    """
    fields: dict[str, Any] = {}
    for name, field in Columns.model_fields.items():
        role = field.alias or name
        if role not in roles.all:
            continue
        key = getattr(columns, name)
        read = REQUIRED.get(role, _text) if role in roles.required else _text_or_none
        must_be_there = role in roles.required or key is not None
        given = Field(... if must_be_there else "", alias=key or role)
        fields[name] = (Annotated[Any, PlainValidator(read)], given)
    made: type[Line] = create_model("ColumnsLine", __base__=_ColumnsLine, **fields)
    return made
