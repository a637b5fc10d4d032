"""Conditions: the truth about an object for programs, in a closed set of words."""

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field

from finetune_operator.api.base import ApiModel
from finetune_operator.api.text import Time


class ConditionType(StrEnum):
    """What a condition is about; `meaning` is what status True says."""

    def __new__(cls, value: str, meaning: str) -> Self:
        member = str.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member

    meaning: str

    ACCEPTED = "Accepted", "The job can be carried out as written; from now on spec is fixed."
    ADMITTED = "Admitted", "It is the job's turn: all of its pods may be created."
    NODES_READY = "NodesReady", "Every pod of the attempt has a node."
    STARTED = (
        "Started",
        "The first pod of the job was created, fetching included; stays True for ever.",
    )
    TRAINED = (
        "Trained",
        "Training is complete and the output lies in the volume, or an earlier result is used.",
    )
    EVALUATED = "Evaluated", "Base and tuned model were measured, and every gate holds."
    PUBLISHED = "Published", "The image is pushed and, if asked for, published."
    SUSPENDED = (
        "Suspended",
        "spec.suspend is obeyed, or the budget is used up: no pod of the job runs.",
    )
    SUCCEEDED = "Succeeded", "The job is over and everything asked for is there."
    FAILED = "Failed", "The job is over without what was asked for."
    RECONCILING = "Reconciling", "Work is under way (kstatus: InProgress)."
    STALLED = "Stalled", "Nothing goes on until a person changes something (kstatus: Failed)."
    READY = (
        "Ready",
        "InferenceWorkspace: what answers is what spec and revisions ask for; with 0 replicas,"
        " nothing.",
    )
    AVAILABLE = "Available", "InferenceWorkspace: something answers, perhaps still as before."
    REVISIONS_ACCEPTED = (
        "RevisionsAccepted",
        "InferenceWorkspace: every revision is over the base model that is served.",
    )


class Condition(ApiModel):
    """One condition, as in metav1."""

    type: Annotated[str, Field(min_length=1, max_length=64)]
    """What it is about."""
    status: Literal["True", "False", "Unknown"]
    """Whether it holds."""
    reason: Annotated[str, Field(min_length=1, max_length=64)]
    """Why, in one word."""
    message: Annotated[str, Field(max_length=8192)] = ""
    """Why, for people, and what to do."""
    observed_generation: int | None = None
    """metadata.generation that this was said about."""
    last_transition_time: Time
    """When status changed last."""


NOT_LOOKED_AT = -1
"""observedGeneration of a new object, filled in by the API server: kstatus takes an object without
any status for Current, and what waits for it would not wait."""

ObservedGeneration = Annotated[int, Field(ge=NOT_LOOKED_AT)]
"""metadata.generation that a status speaks of."""

Conditions = Annotated[
    tuple[Condition, ...],
    Field(
        max_length=16,
        json_schema_extra={
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["type"],
        },
    ),
]
