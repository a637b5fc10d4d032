"""Which evaluation along the way is the best so far, and whether further ones are worth it.

A checkpoint is written before each evaluation and holds what was known until then. So an attempt
that goes on from it evaluates again first, and comes to the same decisions; and the best weights
are those of a checkpoint, which is not removed while it is the best.
"""

from pydantic import BaseModel, ConfigDict

from finetune_trainer.recipe import EarlyStopping, Recipe


class Selection(BaseModel):
    """After one evaluation or several; part of state.json."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    step: int
    """Of the best evaluation."""
    value: float
    """Of the metric, there."""
    to_gain_on: float
    """The value at the last gain that counts for early stopping."""
    without_gain: int
    """Evaluations since."""


def is_due(recipe: Recipe, step: int, total_steps: int) -> bool:
    """Whether to evaluate after a step; after the last one only where that is to compete."""
    interval = recipe.evaluation.interval_steps
    if interval is None or step == 0:
        return False
    if step == total_steps:
        return recipe.evaluation.keep_best
    return step % interval == 0


def select(before: Selection | None, recipe: Recipe, step: int, value: float) -> Selection:
    """The best so far, after one more evaluation; of equal ones the first."""
    if before is None:
        return Selection(step=step, value=value, to_gain_on=value, without_gain=0)
    sign = -1 if recipe.evaluation.best_metric.lower_is_better else 1
    better = sign * (value - before.value) > 0
    gained = sign * (value - before.to_gain_on)
    counts = gained > 0 and gained >= _least(recipe.training.early_stopping)
    return Selection(
        step=step if better else before.step,
        value=value if better else before.value,
        to_gain_on=value if counts else before.to_gain_on,
        without_gain=0 if counts else before.without_gain + 1,
    )


def is_over(selection: Selection | None, recipe: Recipe) -> bool:
    """Whether training ends early."""
    rule = recipe.training.early_stopping
    return bool(rule and selection and selection.without_gain >= rule.patience)


def _least(rule: EarlyStopping | None) -> float:
    return rule.minimum_gain if rule else 0.0
