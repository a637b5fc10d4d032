"""Write the Kubernetes API reference, as the package `kubernetes` carries it, as documents.

    python examples/domain-adaptation/build.py FOLDER    # train.jsonl and validation.jsonl

One document is one kind: its name, what it is, and each field with its description. Held out are
whole kinds, all versions of a kind together. A description that stands word for word in an earlier
kind is left out, and so is a held-out one of which more than a third was learned elsewhere.
"""

import argparse
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

from kubernetes.client import models
from pydantic import BaseModel

HELD_OUT_IN = 2
"""Of so many kinds one is held out."""
TRAIN_CHARACTERS, HELD_OUT_CHARACTERS = 100_000, 36_000
"""What two cores learn in a minute or two; kinds are taken in an order that has no meaning."""
SHINGLE = 6
"""Words in a row that count as copied where both sides have them."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    train, held_out = documents()
    for name, texts in (("train", train), ("validation", held_out)):
        lines = "".join(json.dumps({"text": text}) + "\n" for text in texts)
        (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")
        print(f"{name}: {len(texts)} kinds, {sum(map(len, texts))} characters")


def documents() -> tuple[list[str], list[str]]:
    """The texts to learn from, and those held out."""
    train: list[str] = []
    held_out: list[str] = []
    seen: set[str] = set()
    learned: set[tuple[str, ...]] = set()
    kinds = sorted(_kinds().items(), key=lambda item: _spread(item[0]))
    for learning in (True, False):
        texts, most = (train, TRAIN_CHARACTERS) if learning else (held_out, HELD_OUT_CHARACTERS)
        for kind, model in kinds:
            if (_spread(kind) % HELD_OUT_IN != 0) is not learning:
                continue
            lines = [line for line in _lines(kind, model) if line not in seen]
            seen.update(lines)
            if not learning:
                lines = [line for line in lines if _copied(line, learned) <= 1 / 3]
            if len(lines) < 2 or sum(map(len, texts)) >= most:
                continue
            learned.update(*(map(_shingles, lines) if learning else ()))
            texts.append("\n".join([kind, "", *lines]))
    return train, held_out


def _kinds() -> dict[str, type[BaseModel]]:
    """By name without version, the stable one where there are several."""
    found: dict[str, type[BaseModel]] = {}
    # V1 sorts before V1alpha1, V1beta1 and V2.
    for name in sorted(dir(models)):
        model = getattr(models, name)
        if isinstance(model, type) and issubclass(model, BaseModel):
            found.setdefault(re.sub(r"V\d+((alpha|beta)\d+)?", "", name, count=1), model)
    return found


def _lines(kind: str, model: type[BaseModel]) -> Iterator[str]:
    about = re.split(r"\n\s*\n\s*Attributes:", model.__doc__ or "")[0]
    if (text := " ".join(about.split())) and not text.startswith("NOTE:"):
        yield text
    for field in model.model_fields.values():
        name = field.serialization_alias
        if name and field.description:
            yield f"{kind}.{name}: {' '.join(field.description.split())}"


def _shingles(line: str) -> set[tuple[str, ...]]:
    words = re.findall(r"\w+", line.partition(": ")[2].lower())
    return {tuple(words[at : at + SHINGLE]) for at in range(len(words) - SHINGLE + 1)}


def _copied(line: str, learned: set[tuple[str, ...]]) -> float:
    shingles = _shingles(line)
    return len(shingles & learned) / len(shingles) if shingles else 1.0


def _spread(kind: str) -> int:
    """A number that has nothing to do with the kind's meaning, and is always the same."""
    return int(hashlib.sha256(kind.encode()).hexdigest()[:8], 16)


if __name__ == "__main__":
    main()
