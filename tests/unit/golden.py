"""Golden files: what is emitted, as YAML or as text that a person reviews.

`UPDATE_GOLDEN=1 pytest tests/unit` writes them anew; the diff is then the change to review.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from finetune_operator.domain.applied import APPLIED


def assert_golden(path: Path, objects: Iterable[dict[str, Any]]) -> None:
    """The objects are those of the file, in that order and nothing besides."""
    text = yaml.dump_all(
        [_stable(each) for each in objects], Dumper=_Dumper, sort_keys=False, width=100
    )
    assert_golden_text(path, text)


def assert_golden_text(path: Path, text: str) -> None:
    """The text is that of the file."""
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text(), f"{path.name} differs; UPDATE_GOLDEN=1 writes it anew"


class _Dumper(yaml.SafeDumper):
    """Writes every object in full, and text of several lines as such."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def _stable(manifest: dict[str, Any]) -> dict[str, Any]:
    """Without the digest of the manifest itself, which every change would change too."""
    metadata = dict(manifest["metadata"])
    annotations = {k: v for k, v in metadata.pop("annotations", {}).items() if k != APPLIED}
    if annotations:
        metadata["annotations"] = annotations
    return {**manifest, "metadata": metadata}
