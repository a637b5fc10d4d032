"""What publishing a result means to a job, whichever way it is published.

The packages under publishing/ look at the cluster and fill in a Publication; the lifecycle only
carries it out. So neither knows the other.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from finetune_operator.api.reason import Reason
from finetune_operator.domain.actions import Action, Event


@dataclass(frozen=True, slots=True)
class Publication:
    """Where the publication of a job stands, and what would bring it further."""

    done: bool
    """The result is published; nothing is left to do for this job."""

    reason: Reason
    """Of the condition Published."""

    message: str
    """For people: what is published where, or what is being waited for."""

    actions: Sequence[Action] = ()
    events: Sequence[Event] = ()
    revision: str = ""
    """status.published.revision, once it is known."""

    endpoint: str = ""
    """status.published.endpoint, once it is known."""

    stalled: bool = False
    """Waits for a person, as the message says, and goes on looking."""

    requeue_after: float | None = None
    """Seconds after which to look again although nothing was seen to change."""
