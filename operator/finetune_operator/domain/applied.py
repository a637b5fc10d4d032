"""Tells whether an object is already as we want it, so that a repeat writes nothing at all.

Server-side apply of an unchanged object changes nothing either, but it is a request; an operator
at rest makes none.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from finetune_operator.domain.actions import JsonObject

APPLIED = "finetune.dev/applied"
"""Annotation: digest of what was applied last; tells what was taken out of a manifest since."""


def stamped(manifest: JsonObject) -> JsonObject:
    """The manifest with the digest of itself."""
    text = json.dumps(manifest, sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    metadata = manifest["metadata"]
    annotations = metadata.get("annotations", {}) | {APPLIED: digest}
    return manifest | {"metadata": metadata | {"annotations": annotations}}


def is_applied(live: JsonObject | None, wanted: JsonObject) -> bool:
    """Whether `wanted`, a stamped manifest, was the last applied and still holds.

    What the API server filled in is not looked at. What somebody else changed is, unless a
    quantity is written in another form than the server's (`0.5` for `500m`): then it is applied
    again without effect.
    """
    # What kind it is, lists leave out; the reader has asked for it.
    content = {key: value for key, value in wanted.items() if key not in ("apiVersion", "kind")}
    return live is not None and _holds(live, content)


def _holds(live: Any, wanted: Any) -> bool:
    if live is None:
        return not wanted  # the API server leaves empty values out
    if isinstance(wanted, Mapping):
        return isinstance(live, Mapping) and all(
            _holds(live.get(name), value) for name, value in wanted.items()
        )
    if isinstance(wanted, list | tuple):
        return (
            isinstance(live, list)
            and len(live) == len(wanted)
            and all(_holds(*pair) for pair in zip(live, wanted, strict=True))
        )
    return bool(live == wanted)
