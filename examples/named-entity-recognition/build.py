"""Write sentences about the command line, with commands, options and files as entities (CoNLL).

    python examples/named-entity-recognition/build.py FOLDER    # train.jsonl and validation.jsonl

The sentences are made of patterns and words that were written for this project. Patterns, commands,
options and files of the held-out sentences are in none that is learned from.
"""

import argparse
import json
import random
from dataclasses import dataclass
from pathlib import Path

TRAIN, HELD_OUT = 300, 120


@dataclass(frozen=True)
class Side:
    """What the sentences of one side are made of."""

    patterns: tuple[str, ...]
    words: dict[str, tuple[str, ...]]


LEARNED = Side(
    patterns=(
        "run COMMAND OPTION to see more",
        "the option OPTION of COMMAND writes to FILE",
        "COMMAND reads FILE at every start",
        "please delete FILE before you call COMMAND",
        "without OPTION nothing is printed at all",
        "I edited FILE and then COMMAND stopped working",
        "use OPTION together with OPTION if the output is too long",
        "a full disk makes COMMAND fail, so look at FILE first",
        "does COMMAND know OPTION on this system ?",
        "the manual says that FILE belongs to the administrator",
        "COMMAND and COMMAND share the settings in FILE",
        "this has nothing to do with the network",
    ),
    words={
        "COMMAND": ("ls", "grep", "tar", "ssh", "curl", "git push", "make", "find", "apt update"),
        "OPTION": ("-v", "--verbose", "-l", "--output", "-n", "--color", "-r", "--quiet"),
        "FILE": ("/etc/hosts", "~/.bashrc", "/var/log/syslog", "notes.txt", "/tmp/out", "Makefile"),
    },
)
APART = Side(
    patterns=(
        "you can stop COMMAND by OPTION",
        "open FILE with COMMAND and look for errors",
        "since yesterday COMMAND ignores FILE",
        "OPTION is short for OPTION in COMMAND",
        "who has changed FILE ?",
        "try COMMAND again and add OPTION this time",
        "the weather is better than the documentation",
    ),
    words={
        "COMMAND": ("cp", "rsync", "docker build", "sed", "wget", "kill", "mount"),
        "OPTION": ("-x", "--force", "-a", "--recursive", "--dry-run", "-q"),
        "FILE": ("/etc/fstab", "~/.profile", "/var/log/auth.log", "report.pdf", "/srv/data"),
    },
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    for name, side, count in (("train", LEARNED, TRAIN), ("validation", APART, HELD_OUT)):
        lines = "".join(json.dumps(each) + "\n" for each in sentences(side, count))
        (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")
        print(f"{name}: {count} sentences")


def sentences(side: Side, count: int) -> list[dict[str, list[str]]]:
    """As many different ones, always the same."""
    drawing = random.Random(0)
    made: dict[str, dict[str, list[str]]] = {}
    while len(made) < count:
        sentence = _sentence(side, drawing)
        made.setdefault(" ".join(sentence["tokens"]), sentence)
    return list(made.values())


def _sentence(side: Side, drawing: random.Random) -> dict[str, list[str]]:
    tokens: list[str] = []
    tags: list[str] = []
    for word in drawing.choice(side.patterns).replace(",", " ,").split():
        said = drawing.choice(side.words[word]).split() if word in side.words else [word]
        tokens += said
        inside = word in side.words
        tags += [f"{'B' if at == 0 else 'I'}-{word}" if inside else "O" for at in range(len(said))]
    return {"tokens": tokens, "tags": tags}


if __name__ == "__main__":
    main()
