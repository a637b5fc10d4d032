"""CEL rules beside the fields they concern, and text that is refused in the user's own words."""

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

    def as_schema(self) -> dict[str, str]:
        """The rule as an entry of x-kubernetes-validations."""
        made = {"rule": self.expression, "message": self.message}
        if self.field:
            made["fieldPath"] = self.field
        return made


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
