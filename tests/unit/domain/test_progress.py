"""What `kubectl get` shows of a training."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from finetune_operator.domain import progress
from finetune_trainer.manifest import Best, Progress, Stage, Trained

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
POSTED = Progress(
    attempt=1,
    stage=Stage.TRAINING,
    step=40,
    total_steps=120,
    loss=5.04103,
    tokens_per_second=3100.4,
    remaining_seconds=98,
)
TRAINED = Trained(step=120, total_steps=120, loss=5.114675, completion_digest=f"sha256:{'0' * 64}")


def test_the_end_shows_the_last_step_and_its_loss() -> None:
    before = progress.merge(progress.at_start(120, NOW), POSTED, 1, NOW)
    shown = progress.at_end(before, TRAINED, NOW + timedelta(seconds=9))
    assert (shown.steps, shown.percentage, shown.loss) == ("120/120", 100, "5.115")
    assert shown.remaining is None
    assert shown.tokens_per_second == 3100


def test_an_early_end_says_where_and_of_which_step_the_result_is() -> None:
    best = Best(step=40, metric="Loss", value="1.2345")
    stopped = TRAINED.model_copy(update={"step": 60, "best": best})
    assert progress.ending(stopped) == (
        "stopped early at step 60 of 120; the result is of step 40, with Loss 1.2345"
    )
    shown = progress.at_end(None, stopped, NOW)
    assert (shown.steps, shown.percentage) == ("60/120", 50)
    assert progress.ending(TRAINED) == ""


def test_the_end_is_shown_of_a_training_that_never_posted() -> None:
    assert progress.at_end(None, TRAINED, NOW).steps == "120/120"


def test_a_post_of_another_attempt_or_while_loading_is_no_news() -> None:
    before = progress.at_start(120, NOW)
    assert progress.merge(before, POSTED, 2, NOW) is None
    loading = POSTED.model_copy(update={"stage": Stage.LOADING})
    assert progress.merge(before, loading, 1, NOW) is None


def test_the_same_post_again_is_no_news() -> None:
    before = progress.merge(progress.at_start(120, NOW), POSTED, 1, NOW)
    assert progress.merge(before, POSTED, 1, NOW + timedelta(seconds=30)) is None


def test_a_write_waits_until_it_is_due() -> None:
    before = progress.at_start(120, NOW)
    assert progress.seconds_until_due(before, 10, NOW + timedelta(seconds=4)) == 6
    assert progress.seconds_until_due(before, 10, NOW + timedelta(seconds=11)) == 0
