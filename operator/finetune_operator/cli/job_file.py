"""job.yaml → FineTuneJob (and class.yaml → FineTuneClass), refused by field where the API server
would refuse it.

The fields, their types, bounds and patterns are those of the CRD, because both are made from the
same models. The rules between fields are CEL, which only an API server evaluates; those that
decide about a training are repeated by `finetune_trainer.rules`.
"""

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from finetune_operator.api.cel import RULES
from finetune_operator.api.fine_tune_class import FineTuneClass
from finetune_operator.api.fine_tune_job import FineTuneJob
from finetune_operator.api.resource import Kind
from finetune_operator.cli.refusals import Refusal, Refused

NOT_CHECKED = (
    "rules between fields that only an API server evaluates are not checked here; "
    "kubectl apply --dry-run=server checks them"
)
Read = TypeVar("Read", FineTuneJob, FineTuneClass)


class _Loader(yaml.SafeLoader):
    """PyYAML takes 1e-3 for text; kubectl takes it for a number, which is then refused."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def read_job(path: Path) -> FineTuneJob:
    """The one FineTuneJob of a file.

    Raises:
        Refused: it cannot be read, holds none or several, or names each field that is wrong.
    """
    job = _read(path, FineTuneJob)
    metadata = job.metadata
    named = {"namespace": metadata.namespace or "default", "generation": metadata.generation or 1}
    return job.model_copy(update={"metadata": metadata.model_copy(update=named)})


def read_class(path: Path) -> FineTuneClass:
    """The one FineTuneClass of a file.

    Raises:
        Refused: it cannot be read, holds none or several, or names each field that is wrong.
    """
    return _read(path, FineTuneClass)


def _read(path: Path, kind: type[Read]) -> Read:
    # As JSON and strictly: the API server takes no number for a string either.
    text = json.dumps(_document(path, kind.__name__), default=str)
    try:
        return kind.model_validate_json(text, strict=True)
    except ValidationError as error:
        raise Refused(_refusals(error, kind)) from error


def _document(path: Path, kind: str) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
        documents = list(yaml.load_all(text, _Loader))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise Refused([Refusal("", f"{path} cannot be read: {error}")]) from error
    of_kind = [each for each in documents if isinstance(each, dict) and each.get("kind") == kind]
    if len(of_kind) != 1:
        found = len(of_kind) or "no"
        raise Refused([Refusal("", f"{path} holds {found} {kind}: give a file with one")])
    return dict(of_kind[0])


def _refusals(error: ValidationError, kind: type[Kind]) -> Iterator[Refusal]:
    messages = _messages_of_patterns(kind)
    items = error.errors(include_url=False)
    # A list of which every member is refused counts as empty too: the members say why.
    within = {item["loc"][:depth] for item in items for depth in range(len(item["loc"]))}
    for item in items:
        if item["loc"] in within:
            continue
        pattern = str(item.get("ctx", {}).get("pattern"))
        yield Refusal(_field(item["loc"]), messages.get(pattern) or _in_words(item, kind))


def _in_words(item: Any, kind: type[Kind]) -> str:
    given = item["input"]
    shown = f", not {given!r}" if isinstance(given, str | int | float) else ""
    words: dict[str, str] = {
        "missing": "is missing: add it",
        "extra_forbidden": f"is no field of a {kind.__name__}: remove it, or correct its name",
        "string_type": f"must be a string{shown}: put it between quotes",
    }
    said: str = item["msg"]
    return words.get(item["type"], said[:1].lower() + said[1:] + shown)


def _field(location: tuple[int | str, ...]) -> str:
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return "".join(parts).removeprefix(".")


@cache
def _messages_of_patterns(kind: type[Kind]) -> dict[str, str]:
    """What the API server says in place of a pattern: the message of the rule beside it."""
    found: dict[str, str] = {}

    def collect(value: Any) -> None:
        if isinstance(value, dict):
            for rule in value.get(RULES, ()):
                expression = rule["rule"]
                if expression.startswith("self.matches(r'"):
                    pattern = expression.removeprefix("self.matches(r'").removesuffix("')")
                    found[pattern] = rule["message"]
            for each in value.values():
                collect(each)
        elif isinstance(value, list):
            for each in value:
                collect(each)

    collect(kind.model_json_schema())
    return found
