"""What the founding table says of each cell, and what was measured of it. Pure."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from bench.scenarios.result import Result
from bench.scenarios.table import (
    CLAIMED,
    COLUMNS,
    EARLY_STEPS,
    PARITY_TOLERANCE,
    SCENARIOS,
    SHARED_SCENARIO,
    SHARED_STEPS,
    STRATEGIES,
    Run,
    Scenario,
    parity,
    quality,
)

Found = Mapping[str, Result]
"""Results by the name of their run."""

LESS = 0.95
"""Of the reference at most, to be called less: what differs by chance is smaller."""


class Verdict(StrEnum):
    """Of a cell."""

    HOLDS = "holds"
    FAILS = "**fails**"
    OPEN = "not measured"


@dataclass(frozen=True)
class Cell:
    """One cell of the founding table."""

    claimed: bool
    verdict: Verdict
    said: str = ""
    """The numbers, in a few words."""


def held(verdicts: Sequence[bool]) -> Verdict:
    """Of a claim that is made of several, each of which has to hold."""
    if not verdicts:
        return Verdict.OPEN
    return Verdict.HOLDS if all(verdicts) else Verdict.FAILS


def certain(result: Result) -> bool:
    """Whether the tuned model is better than the base and than every baseline, 95 % sure."""
    return bool(result.gains) and all(bounds.low > 0 for bounds in result.gains.values())


def of_quality(row: str, column: str, found: Found, broken: Collection[str] = ()) -> Cell:
    """Whether every example of a row gets better by a method, or the same by a strategy.

    Args:
        broken: the runs that ended with an error.
    """
    scenarios = [each for each in SCENARIOS if each.row == row]
    if count := sum(run.name in broken for each in scenarios for run in _runs_of(each, column)):
        return Cell(True, Verdict.FAILS, f"{_runs(count)} ended with an error")
    if strategy := STRATEGIES.get(column):
        distances = [of_parity(each, strategy, found) for each in scenarios]
        known = [each for each in distances if each is not None]
        said = f"loss within {max(known):.0e}" if known else ""
        return Cell(True, held([each <= PARITY_TOLERANCE for each in known]), said)
    results = [result for each in scenarios for result in of_column(each, column, found)]
    return Cell(True, held([certain(each) for each in results]), _runs(len(results)))


def _runs_of(scenario: Scenario, column: str) -> list[Run]:
    if strategy := STRATEGIES.get(column):
        return [run for run in parity(scenario) if run.strategy == strategy]
    return [run for run in quality(scenario) if run.column == column]


def of_column(scenario: Scenario, column: str, found: Found) -> list[Result]:
    """The runs of a cell that are measured, by seed."""
    names = [run.name for run in _runs_of(scenario, column)]
    return [found[name] for name in sorted(names) if name in found]


def of_parity(scenario: Scenario, strategy: str, found: Found) -> float | None:
    """The largest difference of a step's loss between DataParallel and a strategy."""
    runs = {run.strategy: found.get(run.name) for run in parity(scenario)}
    first, shared = runs.get("DataParallel"), runs.get(strategy)
    if not first or not shared:
        return None
    return max(abs(a - b) for a, b in zip(first.losses, shared.losses, strict=True))


def share_of_full(scenario: Scenario, column: str, found: Found) -> float | None:
    """The mean gain of a column over the base, as a share of Full's."""
    results, full = of_column(scenario, column, found), of_column(scenario, "Full", found)
    if not results or not full:
        return None
    gains = [result.gains["base"].value for result in results]
    return sum(gains) / len(gains) / full[0].gains["base"].value


@dataclass(frozen=True)
class Resource:
    """A row of the founding table that is about what training takes."""

    row: str
    unit: str
    """What is compared."""
    claimed: tuple[str, ...]
    """The columns that say yes."""
    of: Callable[[Result], float]


def _peak(result: Result) -> float:
    return max(result.peak_bytes)


RESOURCES = (
    Resource(
        "less compute and cost",
        "processor time of a step",
        ("LoRA", "QLoRA", "DeepSpeed", "ZeRO"),
        lambda result: result.step_cpu_seconds,
    ),
    Resource(
        "less memory", "peak memory of a process", ("QLoRA", "DeepSpeed", "ZeRO", "DoRA"), _peak
    ),
    Resource(
        "fewer parameters",
        "trained parameters",
        ("QLoRA", "PEFT", "DoRA"),
        lambda result: result.trained_parameters,
    ),
)

SHARED_ROW = "memory-efficient data parallelism over all GPUs' memory"
SHARED_CLAIMED = ("DeepSpeed", "ZeRO", "DoRA")


def ratios(resource: Resource, column: str, found: Found) -> dict[str, float]:
    """What a column takes, as a share of its reference, by scenario.

    Of methods the reference is Full on the same example; of strategies it is Full under
    DataParallel in as many processes.
    """
    if strategy := STRATEGIES.get(column):
        ratio = _ratio(
            resource.of, shared("Full", strategy, 2), shared("Full", "DataParallel", 2), found
        )
        return {} if ratio is None else {SHARED_SCENARIO: ratio}
    pairs = {each.name: (Run(each.name, column), Run(each.name, "Full")) for each in SCENARIOS}
    known = {name: _ratio(resource.of, *pair, found) for name, pair in pairs.items()}
    return {name: ratio for name, ratio in known.items() if ratio is not None}


def of_resource(resource: Resource, column: str, found: Found) -> Cell:
    """Whether a column takes less than its reference in every example."""
    known = list(ratios(resource, column, found).values())
    return Cell(column in resource.claimed, held([each <= LESS for each in known]), _times(known))


def early_errors(found: Found) -> list[float]:
    """How far what the first ten steps told was from the time of all, as a share of that; of every
    run of quality with at least twice as many steps, the lowest first."""
    runs = [run for scenario in SCENARIOS for run in quality(scenario)]
    results = [found[run.name] for run in runs if run.name in found]
    return sorted(
        each.early_step_seconds / each.step_seconds - 1
        for each in results
        if each.early_step_seconds is not None and each.steps >= 2 * EARLY_STEPS
    )


def over_estimates(found: Found) -> list[float]:
    """How much more each run of quality has taken than was estimated, as a share of that, the least
    first; without quantized ones, which load what is served as well when they have trained, where
    there is room."""
    runs = [
        run
        for scenario in SCENARIOS
        for run in quality(scenario)
        if "quantization" not in COLUMNS[run.column]
    ]
    results = [found[run.name] for run in runs if run.name in found]
    return sorted(
        max(each.peak_bytes) / each.estimated_bytes - 1
        for each in results
        if each.estimated_bytes is not None
    )


def shared(column: str, strategy: str, processes: int) -> Run:
    """A short run that is measured for the memory of each of its processes."""
    return Run(SHARED_SCENARIO, column, strategy=strategy, processes=processes, steps=SHARED_STEPS)


def of_sharing(column: str, found: Found) -> Cell:
    """Whether more processes make each of them need less: strategies against DataParallel, a
    method in two processes against itself in one."""
    if strategy := STRATEGIES.get(column):
        runs = shared("Full", strategy, 2), shared("Full", "DataParallel", 2)
    elif column in SHARED_CLAIMED:
        runs = shared(column, "DataParallel", 2), shared(column, "DataParallel", 1)
    else:
        return Cell(False, Verdict.OPEN)
    ratio = _ratio(_peak, *runs, found)
    known = [] if ratio is None else [ratio]
    return Cell(True, held([each <= LESS for each in known]), _times(known))


def _ratio(of: Callable[[Result], float], run: Run, reference: Run, found: Found) -> float | None:
    if run.name not in found or reference.name not in found:
        return None
    return of(found[run.name]) / of(found[reference.name])


def _times(known: Sequence[float]) -> str:
    if not known:
        return ""
    low, high = _short(min(known)), _short(max(known))
    return f"{low} ×" if low == high else f"{low} to {high} ×"


def _short(value: float) -> str:
    return f"{value:.2f}" if value >= 0.01 else f"{value:.1g}"


def _runs(count: int) -> str:
    return f"{count} run{'s' if count > 1 else ''}" if count else ""


def table(found: Found, broken: Collection[str] = ()) -> Iterator[tuple[str, list[Cell]]]:
    """The founding table, row by row."""
    for row in dict.fromkeys(each.row for each in SCENARIOS):
        yield row, [of_quality(row, column, found, broken) for column in CLAIMED]
    for resource in RESOURCES:
        yield resource.row, [of_resource(resource, column, found) for column in CLAIMED]
    yield SHARED_ROW, [of_sharing(column, found) for column in CLAIMED]
