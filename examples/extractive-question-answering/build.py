"""Write questions about the fields of our API, answered by their own descriptions (SpanQA).

    python examples/extractive-question-answering/build.py FOLDER

Every field whose description says what is used without it is asked for that. Fields of the held-out
questions, and the ways in which they are asked, are in none that is learned from. Every field is
also asked for something that its description does not say.
"""

import argparse
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

PAGES = Path(__file__).parents[2] / "crds"
HELD_OUT_IN = 3
"""Of so many fields one is held out."""
ASKED = (
    "What is the default of {}?",
    "Which value has {} when it is not given?",
    "What does {} default to?",
    "I leave {} out: what is used?",
)
ASKED_APART = ("If nothing is said about {}, what is it?", "Tell me the usual value of {}.")
UNANSWERED = ("Since which version is there {}?", "Who has to approve {}?")
UNANSWERED_APART = ("How much does {} cost?",)
_DEFAULT = re.compile(r"(?:Default|Absent): (\S.*?)\.(?= |$)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    sides: dict[str, list[dict[str, Any]]] = {"train": [], "validation": []}
    for name, description in sorted(set(fields())):
        apart = int(hashlib.sha256(name.encode()).hexdigest(), 16) % HELD_OUT_IN == 0
        sides["validation" if apart else "train"] += questions(name, description, apart=apart)
    for side, lines in sides.items():
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (folder / f"{side}.jsonl").write_text(text, encoding="utf-8")
        print(f"{side}: {len(lines)} questions")


def questions(name: str, description: str, *, apart: bool) -> Iterator[dict[str, Any]]:
    """What is asked about a field."""
    found = _DEFAULT.search(description)
    if found is None:
        return
    context = f"{name}: {description}"
    start = len(name) + 2 + found.start(1)
    answers = [{"text": found[1], "start": start}]
    for asked in ASKED_APART if apart else ASKED:
        yield {"question": asked.format(name), "context": context, "answers": answers}
    for asked in UNANSWERED_APART if apart else UNANSWERED:
        yield {"question": asked.format(name), "context": context, "answers": []}


def fields() -> Iterator[tuple[str, str]]:
    """Name and description of each field, from the CRDs."""
    for page in PAGES.glob("*.yaml"):
        (version,) = yaml.safe_load(page.read_text(encoding="utf-8"))["spec"]["versions"]
        yield from _walk(version["schema"]["openAPIV3Schema"]["properties"]["spec"])


def _walk(schema: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name, field in schema.get("properties", {}).items():
        if "description" in field:
            yield name, field["description"]
        yield from _walk(field)
        yield from _walk(field.get("items", {}))


if __name__ == "__main__":
    main()
