"""Which reasons each condition can show: what docs/troubleshooting.md is ordered by.

Tests drive every decision and hold this table to what they show, in both directions.
"""

from collections.abc import Mapping
from itertools import chain
from typing import Literal

from finetune_operator.api.conditions import ConditionType
from finetune_operator.api.reason import Reason

Reasons = tuple[Reason, ...]


def _each(*groups: Reasons) -> Reasons:
    """The reasons of all groups, each once."""
    return tuple(dict.fromkeys(chain(*groups)))


_UNPLACED: Reasons = (
    Reason.UNSCHEDULABLE,
    Reason.VOLUME_PENDING,
    Reason.VOLUME_MISSING,
    Reason.IMAGE_PULL,
    Reason.SECRET_MISSING,
    Reason.CONTAINER_CANNOT_START,
    Reason.QUOTA_EXCEEDED,
    Reason.PODS_FORBIDDEN,
)
"""What keeps a pod from running."""

_WITHOUT_NODES: Reasons = (
    Reason.PROVISIONING,
    Reason.INSUFFICIENT_CAPACITY,
    Reason.NODE_QUOTA_EXCEEDED,
    Reason.PROVISIONER_MISCONFIGURED,
)
"""What keeps a job from nodes that are made for it."""

_TERMINAL: Reasons = (
    Reason.CONFIGURATION_ERROR,
    Reason.DATA_ERROR,
    Reason.OUT_OF_MEMORY,
    Reason.DIVERGED,
    Reason.CREDENTIALS_REFUSED,
)
_TRIED_AGAIN: Reasons = (
    Reason.PREEMPTED,
    Reason.DISRUPTED,
    Reason.SUPERSEDED,
    Reason.PEER_LOST,
    Reason.FEWER_NODES,
    Reason.UNAVAILABLE,
    Reason.TRAINER_FAILED,
    Reason.STUCK,
)
_NOT_ACCEPTED: Reasons = (
    Reason.CLASS_NOT_FOUND,
    Reason.NOT_ALLOWED,
    Reason.VOLUME_NOT_SHARED,
    Reason.NAME_TAKEN,
    Reason.CONFIGURATION_ERROR,
    Reason.PODS_FORBIDDEN,
)
_SERVER_ENDED: Reasons = (
    Reason.CONFIGURATION_ERROR,
    Reason.OUT_OF_MEMORY,
    Reason.CREDENTIALS_REFUSED,
    Reason.UNAVAILABLE,
)
"""Named by the exit code of a container that fetches a model or serves it."""

_NOTHING_TO_SERVE: Reasons = (
    Reason.REVISION_NOT_FOUND,
    Reason.OTHER_BASE_MODEL,
    Reason.RUNTIME_UNAVAILABLE,
    Reason.CLASS_NOT_FOUND,
    Reason.NAME_TAKEN,
)
_NOT_READY: Reasons = (
    Reason.NO_REVISION,
    Reason.ROLLING_OUT,
    *_NOTHING_TO_SERVE,
    *_UNPLACED,
    *_SERVER_ENDED,
)
_FAILED: Reasons = (
    *_TERMINAL,
    Reason.RESTART_LIMIT_REACHED,
    Reason.GATE_FAILED,
    Reason.VOLUME_MISSING,
    Reason.PODS_FORBIDDEN,
    Reason.PROVISIONING_FAILED,
)
_WAITING_FOR_A_PERSON: Reasons = (Reason.KAITO_MISSING, Reason.BUDGET_EXCEEDED)
_STALLED = _each(_NOT_ACCEPTED, _FAILED, _WAITING_FOR_A_PERSON, _NOTHING_TO_SERVE)

_UNDER_WAY: Reasons = (
    Reason.PENDING,
    Reason.ACCEPTED,
    Reason.PREPARING,
    Reason.LOOKING,
    Reason.WAITING_FOR_TURN,
    Reason.HELD_BY_QUEUE,
    Reason.STARTING,
    Reason.TRAINING,
    Reason.PUBLISHING,
    Reason.ROLLING_OUT,
    Reason.NO_REVISION,
    Reason.SWITCHED_OFF,
    Reason.NODE_LOST,
    Reason.CLASS_NOT_FOUND,
)

CONDITION_REASONS: Mapping[ConditionType, Mapping[Literal["True", "False"], Reasons]] = {
    ConditionType.ACCEPTED: {"True": (Reason.ACCEPTED,), "False": _NOT_ACCEPTED},
    ConditionType.ADMITTED: {
        "True": (Reason.ADMITTED,),
        "False": (
            Reason.WAITING_FOR_TURN,
            Reason.HELD_BY_QUEUE,
            Reason.SUSPENDED,
            Reason.BUDGET_EXCEEDED,
            *_TRIED_AGAIN,
            *_TERMINAL,
        ),
    },
    ConditionType.NODES_READY: {
        "True": (Reason.SCHEDULED, Reason.FEWER_NODES),
        "False": (
            Reason.STARTING,
            Reason.PENDING,
            Reason.NODE_LOST,
            Reason.HELD_BY_QUEUE,
            Reason.CLASS_NOT_FOUND,
            Reason.RELEASING,
            Reason.RELEASED,
            *_WITHOUT_NODES,
            *_UNPLACED,
        ),
    },
    ConditionType.STARTED: {"True": (Reason.PREPARING,)},
    ConditionType.TRAINED: {
        "True": (Reason.TRAINED, Reason.REUSED),
        "False": (Reason.PENDING, Reason.NOTHING_TO_REUSE, Reason.NOT_REUSED),
    },
    ConditionType.EVALUATED: {
        "True": (Reason.EVALUATED, Reason.HELD_OUT_LEARNED),
        "False": (Reason.NOTHING_HELD_OUT, Reason.GATE_FAILED),
    },
    ConditionType.PUBLISHED: {
        "True": (Reason.PUBLISHED,),
        "False": (
            Reason.PUBLISHING,
            Reason.GATE_FAILED,
            Reason.KAITO_MISSING,
            Reason.SWITCHED_OFF,
            *_NOT_READY,
        ),
    },
    ConditionType.SUSPENDED: {
        "True": (Reason.SUSPENDED, Reason.BUDGET_EXCEEDED),
        "False": (Reason.RESUMED,),
    },
    ConditionType.SUCCEEDED: {"True": (Reason.SUCCEEDED,)},
    ConditionType.FAILED: {"True": _FAILED},
    ConditionType.READY: {"True": (Reason.SERVING, Reason.SWITCHED_OFF), "False": _NOT_READY},
    ConditionType.AVAILABLE: {
        "True": (Reason.SERVING,),
        "False": (Reason.SWITCHED_OFF, *_NOT_READY),
    },
    ConditionType.REVISIONS_ACCEPTED: {
        "True": (Reason.SERVING,),
        "False": (Reason.OTHER_BASE_MODEL,),
    },
    ConditionType.RECONCILING: {
        "True": _each(_UNDER_WAY, _WITHOUT_NODES, _UNPLACED, _TRIED_AGAIN, _SERVER_ENDED),
        "False": (Reason.FINISHED, Reason.SUSPENDED, *_STALLED),
    },
    ConditionType.STALLED: {
        "True": _STALLED,
        "False": (Reason.IN_PROGRESS, Reason.SUSPENDED, Reason.FINISHED),
    },
}
