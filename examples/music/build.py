"""Write tunes of Ryan's Mammoth Collection (1883), as the package `music21` carries them.

    python examples/music/build.py FOLDER    # train.jsonl and validation.jsonl

A tune is its meter, unit of length, key and notes, without its title. Taken are the tunes in 2/4
that count in sixteenths, reels and hornpipes mostly; the same tune under two titles stands on one
side only.
"""

import argparse
import hashlib
import json
from pathlib import Path

import music21
from tunes import HEADER, bars, simplified

HELD_OUT, TRAIN = 40, 340
METER = "2/4", "1/16"
LONGEST = 340
"""Characters; about 220 tokens."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    train, held_out = tunes()
    for name, chosen in (("train", train), ("validation", held_out)):
        lines = "".join(json.dumps({"text": text}) + "\n" for text in chosen)
        (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")
        print(f"{name}: {len(chosen)} tunes, {sum(map(len, chosen))} characters")


def tunes() -> tuple[list[str], list[str]]:
    """Those to learn from, and those held out."""
    folder = Path(music21.__file__).parent / "corpus" / "ryansMammoth"
    found: dict[tuple[str, ...], str] = {}
    for path in sorted(folder.glob("*.abc")):
        tune = simplified(path.read_text(encoding="utf-8", errors="replace"))
        header = HEADER.match(tune) if tune else None
        if tune and header and header.group("meter", "length") == METER and len(tune) <= LONGEST:
            # Two tunes that begin alike are one.
            found.setdefault(tuple(bars(tune)[:3]), tune)
    spread = sorted(found.values(), key=lambda tune: hashlib.sha256(tune.encode()).hexdigest())
    return spread[HELD_OUT : HELD_OUT + TRAIN], spread[:HELD_OUT]


if __name__ == "__main__":
    main()
