"""When a run counts as hanging."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_operator.domain.stuck import LEAST_SECONDS, stuck
from finetune_trainer.manifest import Progress, Stage


def posted(
    remaining: int | None = 9000, stage: Stage = Stage.TRAINING, step: int = 100
) -> Progress:
    return Progress(
        attempt=1, stage=stage, step=step, total_steps=1000, remaining_seconds=remaining
    )


def test_patience_is_that_of_many_steps() -> None:
    assert stuck(posted(remaining=90_000), 1999) == ""
    assert stuck(posted(remaining=90_000), 2000) == (
        "no step since step 100, for 33m20s, where one took 100.0 s"
    )


@given(st.integers(0, 10_000), st.floats(0, LEAST_SECONDS, exclude_max=True))
def test_nobody_is_judged_soon(remaining: int, seconds: float) -> None:
    assert stuck(posted(remaining), seconds) == ""


@pytest.mark.parametrize(
    "other",
    [
        posted(stage=Stage.EVALUATING),
        posted(stage=Stage.LOADING),
        posted(remaining=None),
        posted(step=1000),
    ],
)
def test_only_steps_are_judged(other: Progress) -> None:
    assert stuck(other, 1e6) == ""
