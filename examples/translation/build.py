"""Write Spanish and English sentences of Django's user interface, as its package carries them.

    python examples/translation/build.py FOLDER    # train.jsonl and validation.jsonl

Messages that say nearly the same (five words in a row, or all but one word) stand on one side only,
so that what is held out was not learned in another form.
"""

import argparse
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

import django
import polib

LANGUAGE = "es"
HELD_OUT = 90
SHORTEST_HELD_OUT = 2
"""Words: of a single one there is little to get right."""
SHINGLE = 4
"""Words in a row that make two messages nearly the same."""
LONGEST = 220
"""Characters of a message."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    train, held_out = pairs()
    for name, chosen in (("train", train), ("validation", held_out)):
        lines = [json.dumps({"es": es, "en": en}, ensure_ascii=False) for es, en in chosen]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
        print(f"{name}: {len(chosen)} messages, {sum(len(en) for _, en in chosen)} characters")


def pairs() -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Spanish and English, those to learn from and those held out."""
    everything = sorted(set(_messages()), key=_spread)
    held_out: list[tuple[str, str]] = []
    words: set[tuple[str, ...]] = set()
    for pair in everything:
        if len(held_out) == HELD_OUT:
            break
        if len(_words(pair[1])) >= SHORTEST_HELD_OUT and not words & _shingles(pair[1]):
            held_out.append(pair)
            words |= _shingles(pair[1])
    train = [pair for pair in everything if not words & _shingles(pair[1])]
    return train, held_out


def _messages() -> Iterator[tuple[str, str]]:
    root = Path(django.__file__).parent
    for path in sorted(root.glob(f"**/locale/{LANGUAGE}/LC_MESSAGES/*.po")):
        for entry in polib.pofile(str(path)):
            english = entry.msgid_plural or entry.msgid
            spanish = entry.msgstr_plural.get(1, "") if entry.msgid_plural else entry.msgstr
            pair = " ".join(spanish.split()), " ".join(english.split())
            if entry.obsolete or entry.fuzzy or not all(pair) or pair[0] == pair[1]:
                continue
            if max(map(len, pair)) <= LONGEST and not re.search(r"[<>|\\]", english):
                yield pair


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def _shingles(text: str) -> set[tuple[str, ...]]:
    """Runs of words; a message that is too short for one is one itself."""
    words = _words(text)
    runs = range(max(1, len(words) - SHINGLE + 1))
    return {tuple(words[at : at + SHINGLE]) for at in runs}


def _spread(pair: tuple[str, str]) -> tuple[str, str]:
    """An order that has nothing to do with the meaning, and is always the same; a text that has
    two translations has them in the order of these."""
    return hashlib.sha256(pair[1].encode()).hexdigest(), pair[0]


if __name__ == "__main__":
    main()
