"""report.html and the log that its curves are drawn from."""

import re
import xml.etree.ElementTree as ET
from dataclasses import fields
from pathlib import Path

import pytest

from finetune_trainer.manifest import Best, Evaluation, Leak, Leaks, Lengths
from finetune_trainer.memory.estimate import Estimate
from finetune_trainer.recipe import Metric
from finetune_trainer.report.answers import AnswersOfBoth
from finetune_trainer.report.memory import Held, Memory, section
from finetune_trainer.report.metrics_log import MetricsLog, Point
from finetune_trainer.report.page import Data, Report, render
from finetune_trainer.report.scores import Scores, ScoresFile, ScoresOfBoth, gain, interval
from tests.trainer.recipes import recipe


def points(last: int, attempt: int = 1) -> list[Point]:
    return [
        Point(step=step, attempt=attempt, loss=4 / step, learning_rate=1e-3, tokens_per_second=900)
        for step in range(1, last + 1)
    ]


def report(measured: list[Point], name: str = "tiny") -> Report:
    return Report(
        recipe=recipe(job={"name": name}),
        points=measured,
        evaluation=Evaluation(base={"Loss": "2.5000"}, tuned={"Loss": "1.2500"}),
        scores=ScoresFile(
            metrics={
                Metric.LOSS: ScoresOfBoth(
                    base=Scores(rows=[[2.0, 1.0], [3.0, 1.0]]),
                    tuned=Scores(rows=[[1.0, 1.0], [1.5, 1.0]]),
                )
            },
            answers=[
                AnswersOfBoth(prompt="Who <b>?", reference="Ada", base="\x1b[0m&\ud800", tuned="")
            ],
        ),
        data=Data(
            format="OpenAIChat",
            digest="sha256:" + "0" * 64,
            train_examples=20,
            validation_examples=4,
            tokens=1000,
            learned_tokens=250,
            duplicates=3,
            leaks=Leaks(
                exact=1, near=0, first=[Leak(held_out="v.jsonl line 2", learned="t.jsonl line 9")]
            ),
            lengths=Lengths(median=40, p90=60, maximum=99, truncated=2, dropped=1),
        ),
        steps=12,
        planned=20,
        best=Best(step=8, metric="Loss", value="1.2400"),
        attempt=2,
        divergence=0.0321,
        memory=Memory(2**31, Held(2**30, 2**20, 2**21), None),
    )


def test_the_page_is_whole_and_asks_for_nothing() -> None:
    measured = [Point(step=0, attempt=1, validation_loss=2.5), *points(12)]
    page = render(report([*measured, Point(step=12, attempt=2, validation_loss=1.25)]))
    root = ET.fromstring(page)  # noqa: S314 - our own page
    text = " ".join(root.itertext())
    for shown in (
        "2.5000",
        "1.2500",
        "0.0321 nats",
        "-1.2500",
        "2.000 to 3.000",
        "-1.500 to -1.000",
        "75% of 1,000",
        "2.00 GiB",
        "median 40",
        "1 word for word, 0 nearly: v.jsonl line 2 = t.jsonl line 9",
        "12 of 20: stopped early; the result is of step 8, the best by Loss (1.2400)",
    ):
        assert shown in text
    (answers,) = root.findall(".//table[@class='answers']")
    shown = [" ".join(row.itertext()) for row in answers.iter("tr")]
    assert shown == ["base \ufffd[0m&\ufffd", "tuned nothing", "in the data Ada"]
    assert len(root.findall(".//svg")) == 3
    for drawing in root.iter("svg"):
        assert drawing.get("role") == "img"
    assert "held out from 2.5 at step 0 to 1.25 at step 12" in page
    assert not re.findall(r"https?:|url\((?!#)|@import|<script|<link", page)
    references = re.findall(r'href="([^"]*)"', page)
    assert all(each.startswith("#") for each in references)
    ids = [each.get("id") for each in root.iter() if each.get("id")]
    assert len(ids) == len(set(ids))
    assert {each.removeprefix("#") for each in references} <= set(ids)


def test_memory_is_told_by_part_beside_the_estimate() -> None:
    """What is known of it: processes that share it out know only the sum."""
    parts = dict.fromkeys((each.name for each in fields(Estimate)), 2**28)
    memory = Memory(2**31, Held(2**30, 2**20, 2**21), Estimate(**parts))
    shown = [" | ".join(row.itertext()) for row in ET.fromstring(section(memory)).iter("tr")]  # noqa: S314
    assert shown == [
        "part | estimated | taken | of it",
        "weights | 512.0 MiB | 1.00 GiB | 200%",
        "gradients | 256.0 MiB | 1.0 MiB | 0%",
        "optimizer | 256.0 MiB | 2.0 MiB | 1%",
        "activations, logits, buffers, framework, allocator | 1.25 GiB | 1021.0 MiB | 80%",
        "together, at most | 2.25 GiB | 2.00 GiB | 89%",
    ]
    told = section(Memory(2**31, None, None))
    assert "2.00 GiB" in told
    assert "MiB" not in told


def test_what_users_wrote_is_text() -> None:
    page = render(report([], name="<script>alert(1)</script>"))
    assert "<script>" not in page
    assert not ET.fromstring(page).findall(".//svg")  # noqa: S314 - our own page


def test_going_on_takes_back_what_came_after_the_checkpoint(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path / "metrics.jsonl")
    log.take_back(-1)
    for point in points(7):
        log.append(point, durably=False)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 8, "att')  # the process was killed
    log.take_back(5)
    for point in points(8, attempt=2)[5:]:
        log.append(point, durably=True)
    assert [(each.step, each.attempt) for each in log.read()] == [
        *((step, 1) for step in range(1, 6)),
        *((step, 2) for step in range(6, 9)),
    ]


def test_what_is_measured_again_after_a_checkpoint_stands_there_once(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path / "metrics.jsonl")
    log.append(Point(step=0, attempt=1, validation_loss=3.0), durably=True)
    for point in points(4):
        log.append(point, durably=False)
    log.append(Point(step=4, attempt=1, validation_loss=2.0), durably=True)
    log.take_back(4)
    held_out = [each.step for each in log.read() if each.validation_loss is not None]
    assert (held_out, len(log.read())) == ([0], 5)


@pytest.mark.parametrize("steps", [-1, 0])
def test_a_new_run_begins_with_an_empty_log(tmp_path: Path, steps: int) -> None:
    log = MetricsLog(tmp_path / "metrics.jsonl")
    log.append(Point(step=1, attempt=1, loss=1.0), durably=False)
    log.take_back(steps)
    assert log.read() == []


def _rows(values: list[float], weights: list[int]) -> list[list[float]]:
    return [[value * weight, weight] for value, weight in zip(values, weights, strict=True)]


def test_a_gain_that_each_example_shows_is_certain_though_the_examples_differ() -> None:
    values = [float(number) for number in range(40)]
    weights = [1 + number % 3 for number in range(40)]
    both = ScoresOfBoth(
        base=Scores(rows=_rows(values, weights)),
        tuned=Scores(rows=_rows([value - 1 for value in values], weights)),
    )
    mean = sum(v * w for v, w in zip(values, weights, strict=True)) / sum(weights)
    of_base, gained = interval(Metric.LOSS, both.base), gain(Metric.LOSS, both)
    assert of_base.value == pytest.approx(mean)
    # The standard error of the mean of 0 … 39 is 1.85, and the interval about four of it wide.
    assert 5.5 < of_base.high - of_base.low < 9.5
    assert of_base.low < mean < of_base.high
    assert (gained.low, gained.value, gained.high) == pytest.approx((-1.0, -1.0, -1.0))
