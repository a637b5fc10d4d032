"""Classes from a file: as strict as the API server, and only what such an operator can obey."""

from __future__ import annotations

from pathlib import Path

import pytest

from finetune_operator.runtime.given_classes import ClassesError, read_classes

CLASS = """
---
apiVersion: finetune.dev/v1beta1
kind: FineTuneClass
metadata:
  name: {name}
spec:
  images:
    trainer: registry.example.com/trainer@sha256:{digest}
{more}
"""


def written(folder: Path, *more: str) -> Path:
    path = folder / "classes.yaml"
    texts = [
        CLASS.format(name=f"class-{number}", digest="b" * 64, more=each)
        for number, each in enumerate(more)
    ]
    path.write_text("".join(texts))
    return path


def test_every_document_is_a_class(tmp_path: Path) -> None:
    found = read_classes(written(tmp_path, "", "  allowed:\n    maxNodes: 2"))
    assert list(found) == ["class-0", "class-1"]
    assert found["class-1"].spec.allowed.max_nodes == 2


def test_no_class_at_all_is_what_it_is(tmp_path: Path) -> None:
    assert read_classes(written(tmp_path)) == {}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("  allowed:\n    maxNodes: '2'", "maxNodes"),
        ("  allowed:\n    maximumNodes: 2", "maximumNodes"),
        ("  provisioner:\n    type: KAITO", "provisioner KAITO .* use Existing"),
        ("  budget:\n    maxCostPerJob: '10'", "class-0: its budget .* remove it"),
        ("  - : [", "cannot be read"),
    ],
)
def test_what_cannot_be_obeyed_is_refused_by_name(tmp_path: Path, more: str, said: str) -> None:
    with pytest.raises(ClassesError, match=f"(?s){said}"):
        read_classes(written(tmp_path, more))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ClassesError, match=r"absent\.yaml cannot be read"):
        read_classes(tmp_path / "absent.yaml")
