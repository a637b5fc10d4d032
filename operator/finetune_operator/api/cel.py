"""CEL rules beside the fields they concern, and text that is refused in the user's own words."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

RULES = "x-kubernetes-validations"


@dataclass(frozen=True)
class Rule:
    """One validation rule of a CRD."""

    expression: str
    """CEL; true when the object is acceptable."""
    message: str
    """What is wrong and what to do, for people."""
    field: str = ""
    """Path below the rule's own place that the refusal names, for example ".model"."""
    says: str = ""
    """CEL of a message that tells more; `message` is for readers of the schema then."""
    only_if: str = ""
    """CEL; where it is false everything is acceptable. Empty: the rule holds always."""

    def as_schema(self) -> dict[str, str]:
        """The rule as an entry of x-kubernetes-validations."""
        rule = f"!({self.only_if}) || ({self.expression})" if self.only_if else self.expression
        made = {"rule": rule, "message": self.message}
        if self.field:
            made["fieldPath"] = self.field
        if self.says:
            made["messageExpression"] = self.says
        return made


def none_of(chosen: str, refused: Mapping[str, str], message: str, *, field: str) -> Rule:
    """One rule for a whole table.

    Args:
        chosen: CEL of a text.
        refused: what that must not be, and what is said of it.
        message: what the table is about.
    """
    table = ", ".join(f"{literal(value)}: {literal(said)}" for value, said in refused.items())
    says = f"{{{table}}}[{chosen}]"
    return Rule(f"!({chosen} in {_list(refused)})", message, field, says)


def none_in(
    chosen: str, beside: str, refused: Mapping[str, str], message: str, *, field: str
) -> Rule:
    """The same where `chosen` is CEL of a list of texts, each of which is looked up with a space
    and `beside` behind it. The first that is refused is told."""
    both = f"(each + ' ' + {beside})"
    table = ", ".join(f"{literal(value)}: {literal(said)}" for value, said in refused.items())
    found = f"{chosen}.filter(each, {both} in {_list(refused)})[0] + ' ' + {beside}"
    rule = f"!{chosen}.exists(each, {both} in {_list(refused)})"
    return Rule(rule, message, field, f"{{{table}}}[{found}]")


def _list(values: Iterable[str]) -> str:
    return f"[{', '.join(map(literal, values))}]"


def literal(value: str) -> str:
    """A text in CEL, which writes it as JSON does where it is quoted twice."""
    return json.dumps(str(value), ensure_ascii=False)


def rules(*given: Rule) -> dict[str, Any]:
    """The schema extension that holds a model's rules, in the order in which they are read."""
    return {RULES: [each.as_schema() for each in given]}


def _add(schema: JsonSchemaValue, given: tuple[Rule, ...]) -> JsonSchemaValue:
    return {**schema, RULES: [*schema.get(RULES, []), *(each.as_schema() for each in given)]}


@dataclass(frozen=True)
class Rules:
    """Rules of one field, for use in Annotated; they add to what its type says."""

    given: tuple[Rule, ...]

    def __init__(self, *given: Rule) -> None:
        object.__setattr__(self, "given", given)

    def __get_pydantic_json_schema__(
        self, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return _add(handler(core_schema), self.given)


@dataclass(frozen=True)
class Matches:
    """Text of a pattern (RE2, anchored). The API server refuses with our message, not the regex."""

    pattern: str
    message: str

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        schema = dict(handler(source))
        schema["pattern"] = self.pattern
        return schema

    def __get_pydantic_json_schema__(
        self, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        schema = handler(core_schema)
        schema.pop("pattern")
        return _add(schema, (Rule(f"self.matches(r'{self.pattern}')", self.message),))
