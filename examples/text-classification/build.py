"""Write what Debian says of its packages, and in which section each is, as lines of Columns.

    python examples/text-classification/build.py FOLDER    # train.jsonl and validation.jsonl

The descriptions come from apt's lists on this machine (`apt-get update` fetches them). All packages
of a source package are on one side, because their descriptions resemble each other.
"""

import argparse
import hashlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

SECTIONS = ("admin", "database", "editors", "fonts", "games", "mail", "science", "sound")
TRAIN, HELD_OUT = 180, 250
"""Packages of each section at most: what two cores learn in a minute or two."""
HELD_OUT_IN = 3
"""Of so many source packages one is held out."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    said = subprocess.run(["apt-cache", "dumpavail"], capture_output=True, text=True, check=True)
    train, held_out = chosen(packages(said.stdout))
    for name, lines in (("train", train), ("validation", held_out)):
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")
        print(f"{name}: {len(lines)} packages of {len(SECTIONS)} sections")


def packages(available: str) -> Iterator[dict[str, str]]:
    """The fields of each package, with its source package always named."""
    for paragraph in available.split("\n\n"):
        lines = (line for line in paragraph.splitlines() if line[:1].strip())
        fields = dict(line.split(": ", 1) for line in lines if ": " in line)
        if {"Package", "Section", "Description"} <= fields.keys():
            source = fields.get("Source", fields["Package"]).split()[0]
            yield fields | {"Source": source}


def chosen(found: Iterator[dict[str, str]]) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """Those to learn from, and those held out; one package of each source, always the same ones."""
    train: list[dict[str, str]] = []
    held_out: list[dict[str, str]] = []
    sources: set[str] = set()
    texts: set[str] = set()
    for each in sorted(found, key=lambda fields: _spread(fields["Package"])):
        text, section = each["Description"], each["Section"]
        if section not in SECTIONS or each["Source"] in sources or text in texts:
            continue
        apart = _spread(each["Source"]) % HELD_OUT_IN == 0
        side, most = (held_out, HELD_OUT) if apart else (train, TRAIN)
        if sum(line["section"] == section for line in side) < most:
            side.append({"description": text, "section": section})
            sources.add(each["Source"])
            texts.add(text)
    return train, held_out


def _spread(name: str) -> int:
    """An order that has no meaning."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8])


if __name__ == "__main__":
    main()
