"""pydantic model → the structural OpenAPI schema of a CRD."""

import inspect
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from finetune_operator.api.base import ApiModel
from finetune_operator.api.cel import RULES
from finetune_operator.api.rules_in_one import EACH_RULE


class _StructuralSchema(GenerateJsonSchema):
    """What Kubernetes says otherwise than JSON Schema 2020-12."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        """Absent is how Kubernetes says null."""
        return self.generate_inner(schema["schema"])

    def literal_schema(self, schema: core_schema.LiteralSchema) -> JsonSchemaValue:
        """`const` is unknown to OpenAPI 3.0."""
        made = super().literal_schema(schema)
        if "const" in made:
            made["enum"] = [made.pop("const")]
        return made

    def encode_default(self, dft: Any) -> Any:
        """The API server evaluates rules over a default as written: it has to be complete."""
        if isinstance(dft, ApiModel):
            return _without_empty(dft.to_dict())
        if isinstance(dft, tuple):
            return [self.encode_default(item) for item in dft]
        return super().encode_default(dft)


def structural_schema(model: type[BaseModel], *, each_rule: bool = False) -> dict[str, Any]:
    """The schema of an object's part, without references, titles or null defaults.

    Args:
        each_rule: with every rule by itself, for people, where an API server gets many as one.
    """
    schema = model.model_json_schema(by_alias=True, schema_generator=_StructuralSchema)
    definitions = schema.get("$defs", {})
    for node in (schema, *definitions.values()) if each_rule else ():
        if EACH_RULE in node:
            node[RULES] = node[EACH_RULE]
    return _inline(schema, definitions)


# The order in which a person reads a schema; also leaves out what is not structural.
_KEYS = (
    "description",
    "type",
    "anyOf",
    "enum",
    "format",
    "default",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "pattern",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "required",
    "properties",
    "items",
    "additionalProperties",
)
_LEFT_OUT = frozenset({"title", "$defs", "propertyNames", EACH_RULE})
_SAYS_NOTHING: tuple[Any, ...] = (None, [], "")


def _inline(node: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    node = _resolve(node, definitions)
    if node.get("additionalProperties") is False:
        # Unknown fields are refused by the API server itself, and pruned from stored objects.
        del node["additionalProperties"]
    if "default" in node and (node["default"] in _SAYS_NOTHING or _is_empty_map(node)):
        del node["default"]
    if "description" in node:
        node["description"] = " ".join(inspect.cleandoc(node["description"]).split())
    if "properties" in node:
        node["properties"] = {
            name: _inline(child, definitions) for name, child in node["properties"].items()
        }
    for nested in ("items", "additionalProperties"):
        if nested in node:
            node[nested] = _inline(node[nested], definitions)
    return {key: node[key] for key in sorted(node, key=_order) if key not in _LEFT_OUT}


def _resolve(node: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in node:
        return dict(node)
    target = definitions[node["$ref"].removeprefix("#/$defs/")]
    merged = {**target, **{key: value for key, value in node.items() if key != "$ref"}}
    if RULES in target and RULES in node:
        merged[RULES] = [*target[RULES], *node[RULES]]
    return merged


def _without_empty(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    inner = {key: _without_empty(each) for key, each in value.items()}
    return {key: each for key, each in inner.items() if each not in ("", [], {})}


def _is_empty_map(node: dict[str, Any]) -> bool:
    return node["default"] == {} and "properties" not in node


def _order(key: str) -> int:
    """Kubernetes' own extensions come before the parts that they speak of."""
    if key in _KEYS:
        return _KEYS.index(key)
    if key.startswith("x-kubernetes-"):
        return _KEYS.index("required")
    if key in _LEFT_OUT:
        return len(_KEYS)
    raise ValueError(f"{key} has no place in a structural schema")
