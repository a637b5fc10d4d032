"""JSON merge patch (RFC 7386) between two states of an object."""

from typing import Any

from finetune_operator.domain.actions import JsonObject


def merge_patch(old: JsonObject, new: JsonObject) -> JsonObject:
    """The smallest merge patch that turns `old` into `new`; empty when they are equal.

    Lists are replaced whole. `new` must hold no None: in a merge patch that means removal.
    """
    patch: JsonObject = dict.fromkeys(old.keys() - new.keys())
    for key, value in new.items():
        before: Any = old.get(key)
        if isinstance(before, dict) and isinstance(value, dict):
            if inner := merge_patch(before, value):
                patch[key] = inner
        elif key not in old or before != value:
            patch[key] = value
    return patch
