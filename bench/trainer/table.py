"""What the runs of all contestants say. Pure."""

import statistics
from collections.abc import Mapping, Sequence

from bench.trainer.contestants import CONTESTANTS, LADDER
from bench.trainer.measure import Measured

BOUNDS = {"guide": 2.4, "grouped": 1.9, "loop": 0.97}
"""Times as many conversations per second as these; TRL's at the best of its settings: below."""
TRL_BOUND = 2.0
MEMORY_BOUND = 0.6
"""Of the guide's peak."""


def table(runs: Mapping[str, Sequence[Measured]], alone: Sequence[float]) -> str:
    """Markdown: every contestant, what each trick gives, and what was to be reached.

    Args:
        runs: of each contestant, all rounds.
        alone: seconds that the model's own matrix products take for all conversations, of each
            round.
    """
    runs = {name: each for name, each in runs.items() if CONTESTANTS[name].timed}
    products = statistics.median(alone) if alone else None
    rates = {name: statistics.median(run.rate for run in each) for name, each in runs.items()}
    peaks = {name: statistics.median(run.peak_bytes for run in each) for name, each in runs.items()}
    lines = [
        "| | conversations/s | ours is | of the time, products alone | peak memory | ours needs "
        "| padding | last loss | rounds |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, each in runs.items():
        ratio = f"{rates['ours'] / rates[name]:.2f} ×" if "ours" in rates else ""
        needs = f"{peaks['ours'] / peaks[name]:.2f} ×" if "ours" in peaks else ""
        used = f"{products * rates[name] / each[0].conversations:.0%}" if products else ""
        lines.append(
            f"| {CONTESTANTS[name].title} | {rates[name]:.3f} | {ratio} | {used} "
            f"| {peaks[name] / 2**30:.2f} GiB "
            f"| {needs} | {each[0].padding:.0%} | {each[-1].last_loss:.3f} | {len(each)} |"
        )
    return "\n".join([*lines, "", *_ladder(rates, peaks), "", *_verdicts(rates, peaks)])


def _ladder(rates: dict[str, float], peaks: dict[str, float]) -> list[str]:
    """What each trick gives, where all are measured."""
    if not rates.keys() >= LADDER.keys():
        return []
    lines = ["| what is new | times the one before | times the guide | its memory |"]
    lines += ["| --- | ---: | ---: | ---: |"]
    names = list(LADDER)
    for before, name in zip([names[0], *names], names, strict=False):
        lines.append(
            f"| {LADDER[name]} | {rates[name] / rates[before]:.2f} "
            f"| {rates[name] / rates['guide']:.2f} | {peaks[name] / peaks['guide']:.2f} |"
        )
    return lines


def _verdicts(rates: dict[str, float], peaks: dict[str, float]) -> list[str]:
    if "ours" not in rates:
        return []
    wanted = {name: bound for name, bound in BOUNDS.items() if name in rates}
    peers = [name for name in rates if name.startswith("trl_")]
    if peers:
        wanted[max(peers, key=lambda name: rates[name])] = TRL_BOUND
    lines = [
        verdict(
            f"speed against {CONTESTANTS[name].title}", rates["ours"] / rates[name], bound, "least"
        )
        for name, bound in wanted.items()
    ]
    if "guide" in peaks:
        ratio = peaks["ours"] / peaks["guide"]
        lines.append(verdict("memory against the guide", ratio, MEMORY_BOUND, "most"))
    return lines


def verdict(what: str, value: float, bound: float, side: str) -> str:
    """A line: whether a number of times is what was to be reached."""
    reached = value >= bound if side == "least" else value <= bound
    return f"- {'reached' if reached else '**missed**'}: {what}: {value:.2f} ×, at {side} {bound} ×"
