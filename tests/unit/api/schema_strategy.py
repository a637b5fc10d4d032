"""Structural schema → hypothesis strategy: everything that the API server would store."""

import re
from typing import Any

from hypothesis import strategies as st

from finetune_operator.api.cel import RULES

Schema = dict[str, Any]
MATCHES = re.compile(r"^self\.matches\(r'(.*)'\)$")


def values(schema: Schema) -> st.SearchStrategy[Any]:
    """Values that satisfy the schema and the patterns in its rules; other rules are not known."""
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if schema.get("x-kubernetes-int-or-string"):
        return st.integers(0, 10**6) | text(schema)
    makers = {
        "string": text,
        "integer": integers,
        "boolean": lambda _: st.booleans(),
        "array": arrays,
        "object": objects,
    }
    return makers[schema["type"]](schema)


def text(schema: Schema) -> st.SearchStrategy[str]:
    shortest, longest = schema.get("minLength", 0), schema.get("maxLength", 64)
    if schema.get("format") == "date-time":
        return st.just("2026-11-22T10:00:00Z")
    rules = [MATCHES.match(rule["rule"]) for rule in schema.get(RULES, [])]
    patterns = [found.group(1) for found in rules if found] + [schema.get("pattern", "")]
    if not patterns[0]:
        return st.text(min_size=shortest, max_size=min(longest, 64))
    fitting = st.from_regex(re.compile(patterns[0], re.ASCII), fullmatch=True)
    return fitting.filter(lambda made: shortest <= len(made) <= longest)


def integers(schema: Schema) -> st.SearchStrategy[int]:
    return st.integers(schema.get("minimum", 0), schema.get("maximum", 2**31))


def arrays(schema: Schema) -> st.SearchStrategy[list[Any]]:
    keys = schema.get("x-kubernetes-list-map-keys")
    return st.lists(
        values(schema["items"]),
        min_size=schema.get("minItems", 0),
        max_size=min(schema.get("maxItems", 3), schema.get("minItems", 0) + 2),
        unique_by=(lambda item: tuple(item[key] for key in keys)) if keys else None,
    )


def objects(schema: Schema) -> st.SearchStrategy[dict[str, Any]]:
    if "additionalProperties" in schema:
        return st.dictionaries(
            st.from_regex(r"[a-z]{1,8}", fullmatch=True),
            values(schema["additionalProperties"]),
            min_size=schema.get("minProperties", 0),
            max_size=schema.get("minProperties", 0) + 1,
        )
    required = schema.get("required", [])
    properties = {name: values(field) for name, field in schema.get("properties", {}).items()}
    return st.fixed_dictionaries(
        {name: field for name, field in properties.items() if name in required},
        optional={name: field for name, field in properties.items() if name not in required},
    )
