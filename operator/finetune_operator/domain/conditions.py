"""Sets conditions so that a repeat changes nothing, transition times included."""

from datetime import datetime
from typing import Literal

from finetune_operator.api.conditions import Condition, ConditionType
from finetune_operator.api.reason import Reason

MESSAGE_LIMIT = 8192
"""Characters; the schema's bound on a condition's message."""


def find(conditions: tuple[Condition, ...], kind: ConditionType) -> Condition | None:
    """The condition of that type, if it was ever set."""
    return next((condition for condition in conditions if condition.type == kind), None)


def is_true(conditions: tuple[Condition, ...], kind: ConditionType) -> bool:
    """Whether the condition is there and its status is True."""
    found = find(conditions, kind)
    return found is not None and found.status == "True"


def set_condition(
    conditions: tuple[Condition, ...],
    kind: ConditionType,
    status: Literal["True", "False", "Unknown"],
    reason: Reason,
    message: str,
    *,
    generation: int,
    now: datetime,
) -> tuple[Condition, ...]:
    """The conditions with this one set; the same tuple's equal when nothing is new.

    The transition time changes only together with the status, as in the Kubernetes conventions.
    """
    before = find(conditions, kind)
    wanted = Condition(
        type=kind.value,
        status=status,
        reason=reason.value,
        message=message[:MESSAGE_LIMIT],
        observed_generation=generation,
        last_transition_time=before.last_transition_time
        if before is not None and before.status == status
        else now,
    )
    if before is None:
        return (*conditions, wanted)
    return tuple(wanted if condition is before else condition for condition in conditions)
