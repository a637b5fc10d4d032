"""A job's life, a file for each step, in the order of this table.

Every call goes through the steps from the top with fresh eyes: a step that finds its part done
hands on to the next, one that is busy ends the call. So any call may be the first, the last or a
repeat, and a crash between any two writes is only another call.
"""

from collections.abc import Callable

from finetune_operator.api.fine_tune_job import FineTuneJob
from finetune_operator.domain.lifecycle.accept import accept
from finetune_operator.domain.lifecycle.admit import admit
from finetune_operator.domain.lifecycle.budget import count, used
from finetune_operator.domain.lifecycle.finish import clean_up, succeed
from finetune_operator.domain.lifecycle.leave import leave
from finetune_operator.domain.lifecycle.prepare import prepare
from finetune_operator.domain.lifecycle.provision import release
from finetune_operator.domain.lifecycle.publish import publish
from finetune_operator.domain.lifecycle.refused import refused
from finetune_operator.domain.lifecycle.reuse import reuse
from finetune_operator.domain.lifecycle.suspend import suspend
from finetune_operator.domain.lifecycle.train import train
from finetune_operator.domain.lifecycle.work import Decision, Surroundings, Work
from finetune_operator.domain.observed import Observed

STEPS: tuple[Callable[[Work], bool], ...] = (
    leave,
    clean_up,
    accept,
    suspend,
    prepare,
    reuse,
    admit,
    train,
    publish,
    succeed,
)
"""Each returns True when its part is done and the next may look."""


def decide(job: FineTuneJob, seen: Observed, around: Surroundings) -> Decision:
    """What to do for a job next; depends on nothing but its arguments."""
    work = Work(job, seen, around)
    for step in STEPS:
        if not step(work):
            break
    # Last, because it is due in whatever phase the job is.
    release(work)
    count(work)
    return work.decision(used(work))


__all__ = ["STEPS", "Decision", "Surroundings", "decide", "refused"]
