"""What `finetune run` says of a training where nobody watches a terminal."""

import io
from typing import Any

import pytest
from rich.console import Console

from finetune_operator.cli.shown import LINE_SECONDS, Shown
from finetune_trainer.manifest import Progress, Stage, Trained

TRAINED = Trained(step=70, total_steps=70, loss=0.1, completion_digest=f"sha256:{'0' * 64}")


def posted(step: int, stage: Stage = Stage.TRAINING, **more: Any) -> Progress:
    return Progress(attempt=1, stage=stage, step=step, total_steps=70, **more)


class Clock:
    """Advanced by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_log_gets_a_line_of_each_stage_and_now_and_then_one_more(clock: Clock) -> None:
    written = io.StringIO()
    with Shown(Console(file=written, width=20), clock) as shown:
        shown.advance(posted(0, Stage.LOADING))
        shown.advance(posted(1, loss=2.5, tokens_per_second=80.4, remaining_seconds=130))
        clock.now += LINE_SECONDS - 1
        shown.advance(posted(2))
        clock.now += 1
        shown.advance(posted(3, loss=2.25))
        shown.say("saving a checkpoint")
        shown.done(TRAINED)
    assert written.getvalue().splitlines() == [
        "loading",
        "training  1/70  loss 2.5000  80 tokens/s  2m10s left",
        "training  3/70  loss 2.2500",
        "saving a checkpoint",
        "done  70/70",
    ]


def test_a_terminal_gets_a_bar(clock: Clock) -> None:
    written = io.StringIO()
    console = Console(file=written, force_terminal=True, width=80)
    with Shown(console, clock) as shown:
        shown.advance(posted(35, loss=2.5))
        shown.done(TRAINED)
    assert "━" in written.getvalue()
    assert "\ntraining" not in written.getvalue()
