"""A run that says again and again that it is at the same step."""

from finetune_operator.domain.progress import duration
from finetune_trainer.manifest import Progress, Stage

STEPS_OF_PATIENCE = 20
"""A step that takes as long as so many others is none any more."""
LEAST_SECONDS = 900.0
"""Writing a checkpoint of a large model to a slow volume falls between two steps."""


def stuck(posted: Progress, unchanged_seconds: float) -> str:
    """Why the run is to be started again; empty while there is no reason.

    Only steps are judged: their pace is known from those before. Who posts nothing any more may
    have lost the network, and is left alone.

    Args:
        posted: the last that was said.
        unchanged_seconds: for how long it has been said.
    """
    left = posted.total_steps - posted.step
    if posted.stage is not Stage.TRAINING or posted.remaining_seconds is None or left <= 0:
        return ""
    pace = posted.remaining_seconds / left
    patience = max(LEAST_SECONDS, STEPS_OF_PATIENCE * pace)
    if unchanged_seconds < patience:
        return ""
    return (
        f"no step since step {posted.step}, for {duration(int(unchanged_seconds))}, where one took"
        f" {pace:.1f} s"
    )
