"""Which evaluation is the best, and when there need be no more."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_trainer.engine.selection import Selection, is_due, is_over, select
from finetune_trainer.recipe import Recipe
from tests.trainer.recipes import recipe


def _recipe(patience: int = 2, minimum_gain: float = 0.0) -> Recipe:
    return recipe(
        dataset={"validationFraction": 0.1},
        training={"earlyStopping": {"patience": patience, "minimumGain": minimum_gain}},
        evaluation={"intervalSteps": 10, "keepBest": True},
    )


def _after(values: list[float], its_recipe: Recipe) -> Selection:
    selection = None
    for number, value in enumerate(values, 1):
        selection = select(selection, its_recipe, 10 * number, value)
    assert selection is not None
    return selection


@pytest.mark.parametrize(
    ("losses", "minimum_gain", "best", "over"),
    [
        ([3.0, 2.0, 1.0], 0.0, 30, False),
        ([3.0, 2.0, 2.5, 1.9], 0.0, 40, False),
        ([3.0, 2.0, 2.5, 2.0], 0.0, 20, True),
        ([3.0, 2.9, 2.8], 0.25, 30, True),  # the best moves, but gains too little
        ([3.0, 2.9, 2.7, 2.6], 0.25, 40, False),  # little by little is a gain as well
    ],
)
def test_early_stopping(losses: list[float], minimum_gain: float, best: int, over: bool) -> None:
    its_recipe = _recipe(minimum_gain=minimum_gain)
    selection = _after(losses, its_recipe)
    assert selection.step == best
    assert is_over(selection, its_recipe) == over


LOSSES = st.lists(st.floats(0, 100, allow_subnormal=False), min_size=1, max_size=12)


@given(LOSSES, st.integers(1, 4), st.floats(0, 5))
def test_the_best_is_the_first_of_the_least(
    losses: list[float], patience: int, minimum_gain: float
) -> None:
    its_recipe = _recipe(patience, minimum_gain)
    selection = _after(losses, its_recipe)
    assert selection.step == 10 * (losses.index(min(losses)) + 1)
    assert selection.value == min(losses)
    assert selection.without_gain < len(losses)
    assert selection.to_gain_on >= selection.value


def test_without_a_rule_training_is_never_over() -> None:
    its_recipe = recipe(evaluation={"intervalSteps": 10, "keepBest": True})
    assert not is_over(_after([1.0] * 9, its_recipe), its_recipe)


@pytest.mark.parametrize(
    ("step", "kept", "due"),
    [(0, True, False), (10, False, True), (15, True, False), (25, True, True), (25, False, False)],
)
def test_what_the_last_step_left_competes_too(step: int, kept: bool, due: bool) -> None:
    its_recipe = recipe(evaluation={"intervalSteps": 10, "keepBest": kept})
    assert is_due(its_recipe, step, 25) == due
