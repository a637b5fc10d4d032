"""What has to hold for a result to be published."""

from typing import Any

import pytest
from pydantic import ValidationError

from finetune_trainer.gates import failures
from finetune_trainer.manifest import Evaluation
from finetune_trainer.recipe import Gate
from finetune_trainer.rules import problems
from tests.trainer.recipes import recipe

MEASURED = Evaluation(base={"Loss": "1.8400"}, tuned={"Loss": "1.2000"})


@pytest.mark.parametrize(
    ("bound", "said"),
    [
        ({"maximum": "1.2"}, None),
        ({"maximum": "1.1999"}, "Loss is 1.2000, above the maximum of 1.1999"),
        ({"minimum": "1.2"}, None),
        ({"minimum": "1.3"}, "Loss is 1.2000, below the minimum of 1.3"),
        ({"minimumGain": "0.64"}, None),  # 1.84 - 1.2 in floating point is less
        (
            {"minimumGain": "0.65"},
            "Loss gained 0.6400 (from 1.8400 to 1.2000), less than the minimum of 0.65",
        ),
        ({"minimumGain": "-1"}, None),
    ],
)
def test_a_gate_holds_or_says_its_numbers(bound: dict[str, Any], said: str | None) -> None:
    gate = Gate.model_validate({"metric": "Loss", **bound})
    assert failures([gate], MEASURED) == ([said] if said else [])


def test_what_was_not_measured_holds_no_gate() -> None:
    gate = Gate.model_validate({"metric": "GeneralLoss", "maximum": "9"})
    assert failures([gate], MEASURED) == ["GeneralLoss was not measured"]
    assert failures([gate], None) == ["GeneralLoss was not measured"]
    assert failures([], None) == []


@pytest.mark.parametrize("bounds", [{}, {"maximum": 1, "minimum": 0}])
def test_a_gate_has_one_bound(bounds: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="one of maximum, minimum and minimumGain"):
        Gate.model_validate({"metric": "Loss", **bounds})


def test_gates_that_cannot_be_judged_are_refused() -> None:
    gates = [{"metric": "GeneralLoss", "maximum": 3}]
    (unmeasured,) = problems(
        recipe(dataset={"validationFraction": 0.1}, evaluation={"gates": gates})
    )
    assert "evaluation.gates GeneralLoss would not be measured" in unmeasured
    evaluation = {"gates": gates, "metrics": ["Loss", "GeneralLoss"]}
    (nothing,) = problems(recipe(evaluation=evaluation))
    assert "evaluation.gates asks for held-out data, and there is none" in nothing
