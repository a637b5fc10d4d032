"""The page itself."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from finetune_trainer.gates import failures
from finetune_trainer.manifest import Best, Evaluation, Leaks, Lengths
from finetune_trainer.recipe import Metric, Recipe, method_name
from finetune_trainer.report.charts import Line, chart
from finetune_trainer.report.memory import Memory, gibibytes, section
from finetune_trainer.report.metrics_log import Point
from finetune_trainer.report.scores import Interval, ScoresFile, gain, interval

NAME = "report.html"
_SHOWN = 1500
"""Characters of a text, at most; of a prompt its end."""
_NOT_IN_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_STYLE = Path(__file__).with_name("style.css")


@dataclass(frozen=True)
class Data:
    """What was learned from, in numbers."""

    format: str
    digest: str
    train_examples: int
    validation_examples: int
    tokens: int
    learned_tokens: int
    duplicates: int
    """Training examples that are the same as an earlier one."""
    leaks: Leaks
    lengths: Lengths


@dataclass(frozen=True)
class Report:
    """Everything that the page shows."""

    recipe: Recipe
    points: Sequence[Point]
    evaluation: Evaluation | None
    scores: ScoresFile | None
    data: Data
    steps: int
    """Until training ended."""
    planned: int
    """As many as without early stopping."""
    best: Best | None
    attempt: int
    divergence: float | None
    """Of what is served from what was trained, in nats a token, where those differ."""
    memory: Memory


def render(report: Report) -> str:
    """HTML that is also well-formed XML, needs nothing but itself and reads well without colour."""
    recipe = report.recipe
    title = f"{recipe.job.name}: {_method(recipe)} of {_short(recipe.model.storage_uri)}"
    body = [
        f"<header><h1>{escape(title)}</h1>{_summary(report)}</header>",
        *_metrics(report),
        *_curves(report.points),
        *_answers(report.scores),
        section(report.memory),
        _table("Data", _data(report)),
        _table("Training", _training(report)),
        "<section><h2>Recipe</h2><details><summary>Exactly what was run</summary><pre>"
        f"{escape(recipe.model_dump_json(indent=2, exclude_none=True))}</pre></details></section>",
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"/>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>'
        '<meta name="color-scheme" content="light dark"/>'
        f"<title>{escape(title)}</title><style>{_STYLE.read_text(encoding='utf-8')}</style></head>"
        f"<body>{''.join(body)}</body></html>\n"
    )


def _short(uri: str) -> str:
    return uri.rstrip("/").rpartition("/")[2]


def _method(recipe: Recipe) -> str:
    return method_name(recipe.method.type, recipe.quantization.type)


def _summary(report: Report) -> str:
    tiles = [("steps", f"{report.steps:,}"), ("tokens of an epoch", f"{report.data.tokens:,}")]
    if evaluation := report.evaluation:
        losses = f"{evaluation.base['Loss']} → {evaluation.tuned['Loss']}"
        tiles.insert(0, ("held-out loss", losses))
    if speeds := [point.tokens_per_second for point in report.points if point.tokens_per_second]:
        tiles.append(("tokens per second, median", f"{sorted(speeds)[len(speeds) // 2]:,.0f}"))
    tiles.append(("peak memory", gibibytes(report.memory.peak)))
    shown = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in tiles
    )
    return f'<dl class="tiles">{shown}</dl>'


def _metrics(report: Report) -> list[str]:
    if report.evaluation is None:
        return []
    tuned = report.evaluation.tuned
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th>'
        + "".join(f"<td>{each}</td>" for each in _measured(report, name, value, tuned[name]))
        + "</tr>"
        for name, value in report.evaluation.base.items()
    )
    heads = "".join(f'<th scope="col">{each}</th>' for each in ("metric", "base", "tuned", "gain"))
    return [
        '<section><h2>Before and after</h2><table class="measured"><caption>'
        "On held-out data, by the same code;"
        " below each value its 95 % bootstrap interval over the examples, for the gain a paired one"
        f"</caption><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></section>"
    ]


def _measured(report: Report, name: str, base: str, tuned: str) -> list[str]:
    """Base, tuned and what was gained, with intervals where each example's score is known."""
    metric = Metric(name)
    both = report.scores.metrics.get(metric) if report.scores else None
    if both is None:
        return [escape(base), escape(tuned), f"{float(tuned) - float(base):+.4f}"]
    gained = gain(metric, both)
    return [
        f"{escape(base)}{_between(interval(metric, both.base), '.3f')}",
        f"{escape(tuned)}{_between(interval(metric, both.tuned), '.3f')}",
        f"{gained.value:+.4f}{_between(gained, '+.3f')}",
    ]


def _between(found: Interval, form: str) -> str:
    return f"<br/><small>{found.low:{form}} to {found.high:{form}}</small>"


def _curves(points: Sequence[Point]) -> list[str]:
    """A chart for each thing of which there are values."""
    loss = _line("training", points, "loss")
    held_out = _line("held out", points, "validation_loss", marked=True)
    charts = [
        ("Loss", [line for line in (loss, held_out) if line]),
        ("Learning rate", [line] if (line := _line("rate", points, "learning_rate")) else []),
        (
            "Tokens per second",
            [line] if (line := _line("speed", points, "tokens_per_second")) else [],
        ),
    ]
    drawn = [
        f"<figure><figcaption>{title}</figcaption>{chart(title, lines)}</figure>"
        for title, lines in charts
        if lines
    ]
    if not drawn:
        return []
    return [f'<section><h2>Curves</h2><div class="curves">{"".join(drawn)}</div></section>']


def _line(name: str, points: Sequence[Point], field: str, *, marked: bool = False) -> Line | None:
    known = [
        (point.step, value) for point in points if (value := getattr(point, field)) is not None
    ]
    if not known:
        return None
    return Line(name, [step for step, _ in known], [value for _, value in known], marked)


def _data(report: Report) -> list[tuple[str, str]]:
    data, lengths = report.data, report.data.lengths
    masked = 1 - data.learned_tokens / data.tokens
    return [
        ("format", data.format),
        ("training examples", f"{data.train_examples:,}"),
        ("held-out examples", f"{data.validation_examples:,}"),
        ("held-out examples that were learned too", _leaks(data.leaks)),
        ("length", f"median {lengths.median}, 90 % up to {lengths.p90}, longest {lengths.maximum}"),
        ("cut at training.maxLength", f"{lengths.truncated:,}"),
        ("left out, nothing to learn in them", f"{lengths.dropped:,}"),
        ("the same as an earlier one", f"{data.duplicates:,}"),
        ("tokens not learned (masked)", f"{masked:.0%} of {data.tokens:,}"),
        ("digest", data.digest),
    ]


def _leaks(leaks: Leaks) -> str:
    if not leaks.first:
        return "none"
    places = "; ".join(f"{each.held_out} = {each.learned}" for each in leaks.first)
    return f"{leaks.exact} word for word, {leaks.near} nearly: {places}"


def _training(report: Report) -> list[tuple[str, str]]:
    recipe = report.recipe
    return [
        ("base model", f"{recipe.model.storage_uri} {recipe.model.revision}".strip()),
        ("task", recipe.task.value),
        ("method", _method(recipe)),
        ("learning rate", f"{recipe.training.learning_rate:g}, {recipe.training.schedule}"),
        ("computed on", f"{recipe.compute.device}, {recipe.compute.world_size} process(es)"),
        ("steps", _steps(report)),
        *_gates(report),
        ("attempts", f"{report.attempt}"),
        *_served(report),
        ("recipe", recipe.digest()),
    ]


def _served(report: Report) -> list[tuple[str, str]]:
    if report.divergence is None:
        return []
    found = f"{report.divergence:.4f} nats a token from what was trained (KL)"
    return [("served, on the unquantized model", found)]


def _answers(scores: ScoresFile | None) -> list[str]:
    """A table for each example that was asked for."""
    if scores is None or not scores.answers:
        return []
    shown = "".join(
        f'<table class="answers"><caption>{_text(each.prompt, end=True)}</caption><tbody>'
        + "".join(
            f'<tr><th scope="row">{name}</th><td>{_text(said)}</td></tr>'
            for name, said in (
                ("base", each.base),
                ("tuned", each.tuned),
                ("in the data", each.reference),
            )
        )
        + "</tbody></table>"
        for each in scores.answers
    )
    return [
        "<section><h2>Answers</h2><p>To held-out examples, the likeliest token each time, at most "
        f"evaluation.maxNewTokens of them.</p>{shown}</section>"
    ]


def _text(said: str, *, end: bool = False) -> str:
    """What a model or the data says: bounded, and without characters that XML has not."""
    if len(said) > _SHOWN:
        said = f"… {said[-_SHOWN:]}" if end else f"{said[:_SHOWN]} …"
    return escape(_NOT_IN_XML.sub("\ufffd", said)) or "<i>nothing</i>"


def _gates(report: Report) -> list[tuple[str, str]]:
    gates = report.recipe.evaluation.gates
    if not gates:
        return []
    return [("gates", "; ".join(failures(gates, report.evaluation)) or "all hold")]


def _steps(report: Report) -> str:
    said = f"{report.steps:,}"
    if report.steps < report.planned:
        said += f" of {report.planned:,}: stopped early"
    if best := report.best:
        said += f"; the result is of step {best.step:,}, the best by {best.metric} ({best.value})"
    return said


def _table(title: str, rows: Sequence[tuple[str, str]]) -> str:
    shown = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(value)}</td></tr>'
        for name, value in rows
    )
    return f"<section><h2>{escape(title)}</h2><table><tbody>{shown}</tbody></table></section>"
