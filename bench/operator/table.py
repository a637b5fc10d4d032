"""What the figures say, beside what they have to be. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Report = Mapping[str, Any]
_MIB = 1 << 20


@dataclass(frozen=True)
class Line:
    """One figure."""

    what: str
    value: float
    form: str
    """How it is written."""
    bound: float
    at_least: bool = False
    peer: str = ""
    """What others need for the same."""

    @property
    def holds(self) -> bool:
        return self.value >= self.bound if self.at_least else self.value <= self.bound

    def row(self) -> str:
        shown = self.form.format(self.value)
        limit = f"{'≥' if self.at_least else '≤'} {self.form.format(self.bound)}"
        return (
            f"| {self.what} | {shown if self.holds else f'**{shown}**'} | {limit} | {self.peer} |"
        )


JUSTIFIED = {
    ("get", "finetuneclasses"): "the class as it is now: images, and what is allowed",
    ("create", "configmaps"): "the recipe, which nobody may change",
    ("create", "persistentvolumeclaims"): "the volume on which the steps hand over",
    ("patch", "finetunejobs/status"): "what was decided, stored before anything is started",
    ("create", "jobs"): "the first Job",
    ("create", "events"): "one line in `kubectl describe`",
    ("patch", "events"): "one line in `kubectl describe`",
}
"""Why each request of a job's way to its first Job is made."""


def tables(report: Report) -> list[str]:
    """Markdown."""
    found = ["| | measured | bound | others |", "| --- | ---: | ---: | --- |"]
    found += [each.row() for each in lines(report)]
    if "requests" in report:
        found += ["", "| request | of a job | why |", "| --- | ---: | --- |"]
        found += [
            f"| {verb} {resource} | {count} | {JUSTIFIED.get((verb, resource), '**?**')} |"
            for verb, resource, count in report["requests"]
        ]
    if "reports" in report:
        found += ["", "| report that is not to be taken | answer |", "| --- | ---: |"]
        found += [f"| {what} | {code} |" for what, code in sorted(report["reports"]["bad"].items())]
    return found


def missed(report: Report) -> int:
    """The number of bounds that are."""
    return sum(not each.holds for each in lines(report))


def lines(report: Report) -> Iterator[Line]:
    """Every figure that has a bound."""
    if "alone" in report:
        yield from _starting(report["alone"], report["burst"])
    if "restart" in report:
        yield from _resting(report["restart"])
    if "reports" in report:
        yield from _reporting(report["reports"])


def _starting(alone: Report, burst: Report) -> Iterator[Line]:
    count = burst["jobs"]
    jobset = "JobSet 12 ms, Kubeflow Trainer 26–38 ms, KAITO 370 ms"
    yield Line(
        "applied → first Job at rest, median", 1e3 * alone["median"], "{:.0f} ms", 25, peer=jobset
    )
    worst = "JobSet 16–24 ms, Kubeflow Trainer 44–50 ms, KAITO 630 ms"
    yield Line("the same, 99th percentile", 1e3 * alone["p99"], "{:.0f} ms", 100, peer=worst)
    ratio = burst["seconds"] / burst["bare_seconds"]
    yield Line(f"{count:,} at once, times a bare client's time", ratio, "{:.2f} ×", 2)
    yield Line(
        f"{count:,} at once, first Jobs a second",
        count / burst["seconds"],
        "{:.0f}",
        100,
        at_least=True,
        peer="JobSet 46–52, Kubeflow Trainer 10–12, KAITO 7",
    )
    yield Line(
        f"memory with {count:,} jobs",
        burst["resident_bytes"] / _MIB,
        "{:.0f} MiB",
        150,
        peer="JobSet 129 MB, KAITO 72 MB",
    )


def _resting(found: Report) -> Iterator[Line]:
    count = f"{found['jobs']:,} finished jobs"
    yield Line(
        f"restart with {count}, a new job has its first Job after",
        found["working_seconds"],
        "{:.1f} s",
        15,
    )
    yield Line(f"writes after a restart with {count}", found["writes"], "{:.0f}", 0)
    yield Line(f"memory with {count}", found["resident_bytes"] / _MIB, "{:.0f} MiB", 250)
    yield Line(f"of a core at rest with {count}", 100 * found["busy"], "{:.1f} %", 1)


def _reporting(found: Report) -> Iterator[Line]:
    count = f"{found['jobs']:,} jobs report"
    yield Line(f"{count}: last reports that are lost", found["lost"], "{:.0f}", 0)
    refused = sum(found["refused"].values())
    yield Line(f"{count}: good reports that are refused", refused, "{:.0f}", 0)
    yield Line(f"{count}: status writes a second", found["status_writes"], "{:.1f}", 20)
    yield Line(f"{count}: answer, 99th percentile", 1e3 * found["p99_seconds"], "{:.0f} ms", 100)
