"""Whether a result is good enough to be published. Pure: the operator and `publish` ask it too."""

from collections.abc import Sequence
from decimal import Decimal

from finetune_trainer.manifest import Evaluation
from finetune_trainer.recipe import Gate


def failures(gates: Sequence[Gate], evaluation: Evaluation | None) -> list[str]:
    """What does not hold, with the numbers; empty if all does.

    Judged are the numbers that are shown, so that nobody has to wonder about an invisible digit.
    """
    return [said for gate in gates if (said := _failure(gate, evaluation))]


def _failure(gate: Gate, evaluation: Evaluation | None) -> str:
    name = gate.metric
    if evaluation is None or name not in evaluation.tuned:
        return f"{name} was not measured"
    base, tuned = Decimal(evaluation.base[name]), Decimal(evaluation.tuned[name])
    if gate.maximum is not None and tuned > gate.maximum:
        return f"{name} is {tuned}, above the maximum of {gate.maximum}"
    if gate.minimum is not None and tuned < gate.minimum:
        return f"{name} is {tuned}, below the minimum of {gate.minimum}"
    gained = base - tuned if name.lower_is_better else tuned - base
    if gate.minimum_gain is not None and gained < gate.minimum_gain:
        return (
            f"{name} gained {gained} (from {base} to {tuned}), less than the minimum of "
            f"{gate.minimum_gain}"
        )
    return ""
