"""What the builders of examples write: of their format, enough, and apart on both sides."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
BUILT = sorted(path.parent.name for path in (ROOT / "examples").glob("*/build.py"))


def built(example: str, folder: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    command = [sys.executable, str(ROOT / "examples" / example / "build.py"), str(folder)]
    subprocess.run(command, check=True, capture_output=True)
    train, held_out = (
        [json.loads(line) for line in (folder / f"{name}.jsonl").read_text().splitlines()]
        for name in ("train", "validation")
    )
    return train, held_out


@pytest.mark.parametrize("example", BUILT)
def test_the_data_is_the_same_wherever_it_is_built(
    example: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The order of a set of texts is another one in every process."""
    found = []
    for seed in ("1", "2"):
        monkeypatch.setenv("PYTHONHASHSEED", seed)
        found.append(built(example, tmp_path / seed))
    assert found[0] == found[1]


def test_no_entity_of_a_held_out_sentence_was_learned(tmp_path: Path) -> None:
    sides = built("named-entity-recognition", tmp_path)
    learned, held_out = (
        {
            word
            for line in side
            for word, tag in zip(line["tokens"], line["tags"], strict=True)
            if tag != "O"
        }
        for side in sides
    )
    assert not learned & held_out
    assert [len(side) for side in sides] == [300, 120]


def test_questions_are_of_other_fields_in_other_words(tmp_path: Path) -> None:
    train, held_out = built("extractive-question-answering", tmp_path)
    assert not {line["context"] for line in train} & {line["context"] for line in held_out}
    assert not {line["question"] for line in train} & {line["question"] for line in held_out}
    for line in train + held_out:
        for answer in line["answers"]:
            assert line["context"][answer["start"] :].startswith(answer["text"])
    for side in (train, held_out):
        assert 0 < sum(not line["answers"] for line in side) < len(side) / 2


def test_packages_of_a_source_are_on_one_side() -> None:
    sys.path.insert(0, str(ROOT / "examples" / "text-classification"))
    try:
        import build  # noqa: PLC0415
    finally:
        sys.path.pop(0)
    lists = "".join(
        f"Package: p{number}\nSource: s{number // 2}\nSection: games\n"
        f"Description: text {number}\n more of it\n\n"
        for number in range(40)
    )
    train, held_out = build.chosen(build.packages(lists))
    assert len(train) + len(held_out) == 20
    assert train and held_out
    assert {"description", "section"} == set(train[0])
