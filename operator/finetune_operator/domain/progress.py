"""From what the trainer posts to what `kubectl get` shows; never backwards, never too often."""

from datetime import datetime, timedelta

from finetune_operator.api import fine_tune_job_status as api
from finetune_trainer.manifest import Progress, Stage, Trained

_UNITS = (("d", 86400, "h", 3600), ("h", 3600, "m", 60), ("m", 60, "s", 1))


def at_start(total_steps: int, now: datetime) -> api.Progress:
    """Before the first step."""
    return api.Progress(
        step=0, total_steps=total_steps, steps=f"0/{total_steps}", percentage=0, updated_at=now
    )


def merge(
    before: api.Progress | None, posted: Progress, attempt: int, now: datetime
) -> api.Progress | None:
    """The progress to show, or None if what was posted is no news.

    A post of another attempt than the current one is late, and while an attempt loads it has no
    step of its own yet. `posted` is the highest of its attempt; a new attempt may fall back
    behind the one before it, to its checkpoint.
    """
    if posted.attempt != attempt or posted.stage is Stage.LOADING:
        return None
    total = posted.total_steps or (before.total_steps if before else 0)
    step = min(posted.step, total)
    shown = api.Progress(
        step=step,
        total_steps=total,
        steps=f"{step}/{total}",
        percentage=100 * step // total if total else 0,
        loss=_decimal(posted.loss, before.loss if before else None),
        validation_loss=_decimal(
            posted.validation_loss, before.validation_loss if before else None
        ),
        learning_rate=_decimal(posted.learning_rate, before.learning_rate if before else None),
        tokens_per_second=None
        if posted.tokens_per_second is None
        else round(posted.tokens_per_second),
        remaining=None if posted.remaining_seconds is None else duration(posted.remaining_seconds),
        updated_at=now,
    )
    if before is not None and shown == before.model_copy(update={"updated_at": now}):
        return None
    return shown


def at_end(before: api.Progress | None, said: Trained, now: datetime) -> api.Progress:
    """After the last step; `training.maxSteps` or the data may have ended it."""
    step, total = said.step, said.total_steps
    start = before or at_start(total, now)
    return start.model_copy(
        update={
            "step": step,
            "total_steps": total,
            "steps": f"{step}/{total}",
            "percentage": 100 * step // total if total else 100,
            "loss": _decimal(said.loss, None),
            "remaining": None,
            "updated_at": now,
        }
    )


def ending(said: Trained) -> str:
    """Where training ended, and of which step the result is; empty for the last one."""
    parts = []
    if said.step < said.total_steps:
        parts.append(f"stopped early at step {said.step} of {said.total_steps}")
    if best := said.best:
        parts.append(f"the result is of step {best.step}, with {best.metric} {best.value}")
    return "; ".join(parts)


def seconds_until_due(before: api.Progress | None, least: float, now: datetime) -> float:
    """How long the next write of progress has to wait; 0 when it need not."""
    if before is None:
        return 0.0
    return max(0.0, (before.updated_at + timedelta(seconds=least) - now).total_seconds())


def duration(seconds: int) -> str:
    """For people, in two units: 45s, 12m30s, 1h38m, 2d4h."""
    for unit, size, small, part in _UNITS:
        if seconds >= size:
            rest = seconds % size // part
            return f"{seconds // size}{unit}{rest}{small}" if rest else f"{seconds // size}{unit}"
    return f"{max(0, seconds)}s"


def _decimal(value: float | None, otherwise: str | None) -> str | None:
    return otherwise if value is None else f"{value:.4g}"
