"""The book keeps the newest report of each job and asks for writes in moderation."""

from __future__ import annotations

import pytest

from finetune_operator.runtime.controller import Key
from finetune_operator.runtime.progress_book import ProgressBook
from finetune_trainer.manifest import Progress, Stage

KEY = Key("team", "chat")


def report(step: int, attempt: int = 1) -> Progress:
    return Progress(attempt=attempt, stage=Stage.TRAINING, step=step, total_steps=100)


def test_a_late_report_does_not_take_steps_back() -> None:
    book = ProgressBook(lambda key, seconds: None)
    for each in (report(5), report(3), report(1, attempt=2), report(99)):
        book.post(KEY, each)
    assert book.get(KEY) == report(1, attempt=2)


def test_the_first_report_is_shown_at_once_and_the_next_ones_later() -> None:
    wishes: list[float] = []
    book = ProgressBook(lambda key, seconds: wishes.append(seconds))
    for step in range(3):
        book.post(KEY, report(step))
    assert wishes == [0, 10, 10]


def test_what_is_said_again_asks_for_nothing() -> None:
    wishes: list[float] = []
    book = ProgressBook(lambda key, seconds: wishes.append(seconds))
    book.post(KEY, report(1))
    book.post(KEY, report(1))
    assert wishes == [0]
    book.forget(KEY)
    book.post(KEY, report(1))
    assert wishes == [0, 0], "after another operator has taken over it is news"


def test_many_jobs_are_written_less_often() -> None:
    book = ProgressBook(lambda key, seconds: None)
    for number in range(400):
        book.post(Key("team", f"job-{number}"), report(1))
    assert book.seconds_between_writes == 20
    for number in range(300):
        book.forget(Key("team", f"job-{number}"))
    assert book.seconds_between_writes == 10


def test_how_long_the_same_is_said_is_known_up_to_the_last_time() -> None:
    now = [0.0]
    book = ProgressBook(lambda key, seconds: None, clock=lambda: now[0])
    assert book.unchanged_seconds(KEY) == 0
    for second, step in ((10, 1), (40, 2), (70, 2), (100, 2)):
        now[0] = second
        book.post(KEY, report(step))
    now[0] = 1000
    assert book.unchanged_seconds(KEY) == 60, "nothing was heard since: nobody knows"
    book.post(KEY, report(3))
    assert book.unchanged_seconds(KEY) == 0
    book.forget(KEY)
    assert book.unchanged_seconds(KEY) == 0


def test_the_first_reports_of_very_many_take_turns() -> None:
    wishes: list[float] = []
    book = ProgressBook(lambda key, seconds: wishes.append(seconds), clock=lambda: 100.0)
    for number in range(220):
        book.post(Key("team", f"job-{number}"), report(1))
    assert wishes[:20] == [0] * 20
    assert wishes[20:] == pytest.approx([each / 20 for each in range(1, 201)])
