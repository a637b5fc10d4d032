"""Tunes in ABC notation: what is kept of one, and whether it can be played."""

import re
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from music21 import converter
from music21.exceptions21 import Music21Exception

HEADER = re.compile(r"M:(?P<meter>[^\n]+)\nL:(?P<length>[^\n]+)\nK:(?P<key>[^\n]+)\n")
_LEFT_OUT = re.compile(r'"[^"]*"|\{[^}]*\}|![^!\n]*!|(?<=[\s|])%.*|[uv.~HTJ`]|\((?!\d)|\)')
"""Chord symbols and dynamics, grace notes, ornaments, comments, bowing, slurs."""
_STRANGE = re.compile(r"[^A-Ga-gz\d/,'^_=<>(|:\[\] -]|=\d")
"""Remains of mails and of notation that few tunes have."""
_FEWEST_BARS = 8


@dataclass(frozen=True)
class Judged:
    """What there is to say of one tune."""

    parses: bool
    bars: int
    """Between the first and the last, which may be upbeats."""
    full: int
    """Those of them that last as long as the meter says."""

    @property
    def playable(self) -> bool:
        """It can be read, is long enough, and every bar adds up."""
        return self.parses and self.bars >= _FEWEST_BARS and self.full == self.bars


def simplified(abc: str) -> str | None:
    """Meter, unit, key and notes; None where one of them is missing or changes within the tune."""
    fields = dict(re.findall(r"^([MLK]): *([^\n%]+?) *$", abc, re.MULTILINE))
    if len(fields) < 3 or len(re.findall(r"^[MLK]:|\[[A-Z]:", abc, re.MULTILINE)) > 3:
        return None
    body = [line for line in abc.split("\n") if not re.match(r"^([A-Za-z]:|%|\s*$)", line)]
    notes = _LEFT_OUT.sub("", "\n".join(line.rstrip("\\ ") for line in body))
    lines = [
        re.sub(r"\s*(:?\|[\]|:]?|::)\s*", r"\1", " ".join(line.split()))
        for line in notes.split("\n")
    ]
    if any(_STRANGE.search(line) for line in lines):
        return None
    header = "".join(f"{name}:{fields[name]}\n" for name in "MLK")
    return header + "\n".join(line for line in lines if line) + "\n"


def judge(tune: str) -> Judged:
    """Whether music21 can read the tune, and which of its bars are full."""
    if not HEADER.match(tune):
        return Judged(parses=False, bars=0, full=0)
    try:
        score = converter.parseData(f"X:1\nT:tune\n{tune}", format="abc")
    except (Music21Exception, ValueError, TypeError, IndexError, KeyError, AttributeError):
        return Judged(parses=False, bars=0, full=0)
    measures = list(score.recurse().getElementsByClass("Measure"))
    meters = list(score.recurse().getElementsByClass("TimeSignature"))
    if len(measures) < 3 or not meters:
        return Judged(parses=bool(measures), bars=0, full=0)
    length = Fraction(meters[0].barDuration.quarterLength)
    # A part that is repeated may begin with an upbeat, which the end of the part makes whole.
    inner = [
        each
        for before, each in pairwise(measures[:-1])
        if not (_ends_part(before) or _ends_part(each))
    ]
    full = sum(Fraction(each.duration.quarterLength) == length for each in inner)
    return Judged(parses=True, bars=len(inner), full=full)


def _ends_part(measure: object) -> bool:
    bar = getattr(measure, "rightBarline", None)
    return bar is not None and bar.type not in ("regular", None)


def bars(tune: str) -> list[str]:
    """The notes of each bar, without spaces."""
    notes = HEADER.sub("", tune)
    return [text for bar in re.split(r"[|:\[\]]+", notes) if (text := "".join(bar.split()))]


RUN = 4
"""Bars in a row that make a tune known."""


class Known:
    """Tunes that were learned."""

    def __init__(self, tunes: list[str]) -> None:
        self._runs = {run for tune in tunes for run in _runs(tune)}

    def has(self, tune: str) -> bool:
        """Whether half of its runs of four bars are of tunes that were learned."""
        runs = _runs(tune)
        return 2 * sum(run in self._runs for run in runs) >= len(runs)


def _runs(tune: str) -> list[tuple[str, ...]]:
    found = bars(tune)
    return [tuple(found[at : at + RUN]) for at in range(max(1, len(found) - RUN + 1))]
