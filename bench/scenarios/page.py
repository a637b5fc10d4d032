"""docs/scenarios.md from the results. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from bench.scenarios.claims import (
    LESS,
    RESOURCES,
    Cell,
    Found,
    Verdict,
    certain,
    early_errors,
    held,
    of_column,
    of_parity,
    over_estimates,
    ratios,
    share_of_full,
    shared,
    table,
)
from bench.scenarios.result import Broken, Result
from bench.scenarios.table import (
    CLAIMED,
    COLUMNS,
    EARLY_STEPS,
    EARLY_TOLERANCE,
    OVER_ESTIMATE,
    PARITY_STEPS,
    PARITY_TOLERANCE,
    SCENARIOS,
    SHARE_OF_FULL,
    STRATEGIES,
    Scenario,
    all_runs,
)

_INTRODUCTION = f"""\
<!-- Written by `make scenarios` from data/scenarios.json: do not edit. -->

# Every scenario, measured

The founding table says which method serves which scenario. Here is what came out when each cell was
tried: the example's own `job.yaml` with another method and seed, and with fewer steps where these
tell methods apart, carried out by `finetune run` in a process of its own. PEFT stands for IA3,
DeepSpeed for ZeRO-2, ZeRO for ZeRO-3. Full, which trains every weight, is what they are compared
with.

```console
$ make scenarios
```

makes this page again. It measures what has changed since (code of the trainer, model, data or job)
and goes on where it was stopped.

A cell of quality **holds** when, for every seed, the 95 % interval of the gain on held-out data
lies above 0: against the base model, and against each baseline of the task (paired bootstrap over
the examples). A strategy holds when {PARITY_STEPS} steps in two processes, in FP32, have the losses
that they have under DataParallel, within {PARITY_TOLERANCE:g} at each step; that two processes
compute what one does, without dropout, is what `tests/trainer/test_strategies.py` shows. A cell
that says *less* or *fewer* holds when at most {LESS:g} of the reference is taken in every
example. A claim that fails is shown as failed.
"""


def page(found: Found, broken: Mapping[str, Broken]) -> str:
    """The whole page."""
    parts = [
        _INTRODUCTION,
        _founding_table(found, broken),
        _broken(broken),
        _full(found),
        *(_scenario(each, found) for each in SCENARIOS),
        _parity(found),
        _resources(found),
        _sharing(found),
        _measured_with([found[run.name] for run in all_runs() if run.name in found]),
    ]
    return "\n".join(part for part in parts if part)


def _founding_table(found: Found, broken: Mapping[str, Broken]) -> str:
    rows = [[row, *(_shown(cell) for cell in cells)] for row, cells in table(found, broken)]
    return "\n".join(
        [
            "## The table",
            "",
            *_markdown(["scenario", *CLAIMED], rows),
            "",
            "A ratio is to Full on the same example; of DeepSpeed and ZeRO to DataParallel. Where",
            "the table says no and less was measured all the same, both are told.",
            "",
        ]
    )


def _broken(broken: Mapping[str, Broken]) -> str:
    if not broken:
        return ""
    rows = [[name, f"`{each.error}`", each.provenance.commit] for name, each in broken.items()]
    head = ["ended with an error", "", "commit"]
    return "\n".join([*_markdown(head, rows), ""])


def _shown(cell: Cell) -> str:
    if cell.claimed:
        return f"yes: {cell.verdict}" + (f", {cell.said}" if cell.said else "")
    if cell.verdict is Verdict.HOLDS:
        return f"no, but measured {cell.said}"
    return f"no ({cell.said})" if cell.said else "no"


def _full(found: Found) -> str:
    shares = {each.title: share_of_full(each, "LoRA", found) for each in SCENARIOS}
    known = {title: share for title, share in shares.items() if share is not None}
    if not known:
        return ""
    reached = sum(share >= SHARE_OF_FULL for share in known.values())
    said = "; ".join(f"{title}: {share:.0%}" for title, share in known.items())
    verdict = Verdict.HOLDS if reached >= 3 else Verdict.FAILS if len(known) >= 3 else Verdict.OPEN
    return (
        f"LoRA reaches at least {SHARE_OF_FULL:.0%} of Full's gain in three tasks: {verdict}"
        f" ({reached} of {len(known)} measured). {said}.\n"
    )


def _scenario(scenario: Scenario, found: Found) -> str:
    results = [(column, of_column(scenario, column, found)) for column in COLUMNS]
    if not any(measured for _, measured in results):
        return ""
    known = [(column, measured) for column, measured in results if measured]
    one = known[0][1][0]
    name = scenario.metric.value
    others = [each for each in one.gains if each != "base"]
    head = [
        "",
        f"{name}, base",
        "tuned",
        "gain over base",
        *(f"gain over {each}" for each in others),
    ]
    head += ["of Full's", "trained parameters", "peak memory", "seconds", "held"]
    rows = [
        [
            column,
            f"{measured[0].metrics[name][0]:.4g}",
            _each(f"{result.metrics[name][1]:.4g}" for result in measured),
            *(_gain(measured, against) for against in ("base", *others)),
            _percent(share_of_full(scenario, column, found)),
            f"{measured[0].trained_parameters:,}",
            f"{max(max(result.peak_bytes) for result in measured) / 2**30:.2f} GiB",
            f"{_middle([result.seconds for result in measured]):.0f}",
            "yes" if all(certain(result) for result in measured) else "**no**",
        ]
        for column, measured in known
    ]
    baselines = [f"{each} {one.baselines[each]:.4g}" for each in others]
    about = [
        f"[examples/{scenario.example}](../examples/{scenario.example}/README.md),"
        f" {one.held_out} held-out examples, {one.steps} steps."
        f" {name}: {'lower' if scenario.metric.lower_is_better else 'higher'} is better.",
        *([f"Baselines: {', '.join(baselines)}."] if baselines else []),
        "Gains are positive when better, with the lowest lower bound of all seeds.",
    ]
    return "\n".join([f"## {scenario.title}", "", *about, "", *_markdown(head, rows), ""])


def _gain(measured: Sequence[Result], against: str) -> str:
    bounds = [result.gains[against] for result in measured]
    mean = sum(each.value for each in bounds) / len(bounds)
    return f"{mean:+.4g} (≥ {min(each.low for each in bounds):+.3g})"


def _parity(found: Found) -> str:
    rows = []
    for scenario in SCENARIOS:
        distances = [of_parity(scenario, each, found) for each in STRATEGIES.values()]
        if any(each is not None for each in distances):
            shown = ["not measured" if each is None else f"{each:.1e}" for each in distances]
            rows.append([scenario.title, *shown])
    if not rows:
        return ""
    head = ["largest difference of a step's loss", *STRATEGIES]
    return "\n".join(
        [
            "## DeepSpeed and ZeRO compute the same",
            "",
            f"LoRA, {PARITY_STEPS} steps in two processes, in FP32, against DataParallel.",
            "",
            *_markdown(head, rows),
            "",
        ]
    )


def _resources(found: Found) -> str:
    lines = ["## What training takes", ""]
    for resource in RESOURCES:
        by_column = {column: ratios(resource, column, found) for column in CLAIMED}
        scenarios = dict.fromkeys(name for each in by_column.values() for name in each)
        if not scenarios:
            continue
        rows = [
            [name, *(_times(by_column[column].get(name)) for column in CLAIMED)]
            for name in scenarios
        ]
        lines += [f"{resource.unit[0].upper()}{resource.unit[1:]}, as a share of the reference's:"]
        lines += ["", *_markdown(["", *CLAIMED], rows), ""]
    if errors := early_errors(found):
        verdict = held([abs(each) <= EARLY_TOLERANCE for each in errors])
        lines += [
            f"After {EARLY_STEPS} steps the time of a step is known within {EARLY_TOLERANCE:.0%}:"
            f" {verdict} ({len(errors)} runs, {errors[0]:+.0%} to {errors[-1]:+.0%} of what it was"
            " in the end).",
            "",
        ]
    if over := over_estimates(found):
        verdict = held([each <= OVER_ESTIMATE for each in over])
        lines += [
            f"A process takes at most {OVER_ESTIMATE:.0%} more than `finetune plan` says before it"
            f" begins: {verdict} ({len(over)} runs, {over[0]:+.0%} to {over[-1]:+.0%}; without"
            " QLoRA's, which load the unquantized model too in the end, where there is room).",
            "",
        ]
    return "\n".join(lines) if len(lines) > 2 else ""


def _sharing(found: Found) -> str:
    runs = [
        shared("Full", "DataParallel", 2),
        *(shared("Full", strategy, 2) for strategy in STRATEGIES.values()),
        shared("DoRA", "DataParallel", 1),
        shared("DoRA", "DataParallel", 2),
    ]
    rows = [
        [
            f"{run.column}, {run.strategy}",
            str(run.processes),
            ", ".join(f"{each / 2**30:.2f} GiB" for each in result.peak_bytes),
            f"{result.step_cpu_seconds:.1f}",
        ]
        for run in runs
        if (result := found.get(run.name))
    ]
    if not rows:
        return ""
    head = ["", "processes", "peak memory of each", "processor seconds of a step, of all"]
    return "\n".join(["## Memory of each process", "", *_markdown(head, rows), ""])


def _measured_with(every: Sequence[Result]) -> str:
    if not every:
        return ""
    commits = dict.fromkeys(each.provenance.commit for each in every)
    machines = dict.fromkeys(
        f"{each.provenance.processor}, {each.provenance.cores} cores" for each in every
    )
    libraries = dict.fromkeys(
        f"{name} {version}" for each in every for name, version in each.provenance.versions.items()
    )
    ways = dict.fromkeys(
        f"{each.provenance.at_once} at once with {len(each.peak_bytes)} × {each.provenance.threads}"
        for each in every
    )
    loads = [each.provenance.load for each in every]
    minutes = sum(each.seconds / each.provenance.at_once for each in every) / 60
    lines = [
        "## Measured with",
        "",
        f"{len(every)} runs in {minutes:.0f} minutes, {', '.join(ways)} threads;"
        f" commit {', '.join(commits)};"
        f" {'; '.join(machines)};"
        f" {', '.join(libraries)}.",
        "",
        "Memory is RssAnon of the training process at its highest, from start to end; seconds are"
        " of the whole command, held-out measurements included, but that of the base model where an"
        " earlier run of the row has kept it; processor time is of all threads.",
    ]
    if max(loads) > 1.5 * max(each.provenance.cores for each in every):
        lines += [
            "",
            f"**The machine did other work meanwhile**: {_middle(loads):.1f} processes wanted a"
            f" core (median over the runs; at most {max(loads):.1f}). Seconds are longer by that;"
            " quality, parameters and memory do not depend on it, and processor time hardly does.",
        ]
    return "\n".join([*lines, ""])


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"| --- |{' ---: |' * (len(head) - 1)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _each(values: Iterable[str]) -> str:
    return ", ".join(values)


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.0%}"


def _times(ratio: float | None) -> str:
    if ratio is None:
        return ""
    return f"{ratio:.2f} ×" if ratio >= 0.01 else f"{ratio:.1g} ×"


def _middle(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]
