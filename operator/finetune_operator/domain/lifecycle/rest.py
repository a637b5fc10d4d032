"""Rest: what is over, and holds nothing, need not even be looked at."""

from finetune_operator.api.conditions import ConditionType
from finetune_operator.api.fine_tune_job import FineTuneJob
from finetune_operator.domain import conditions
from finetune_operator.domain.names import NODES_FINALIZER


def at_rest(job: FineTuneJob) -> bool:
    """Whether nothing is to be done for a job until somebody changes or deletes it, or until
    something happens to what belongs to it; `decide` would say so, whatever it saw."""
    status = job.status
    over = any(
        conditions.is_true(status.conditions, each)
        for each in (ConditionType.SUCCEEDED, ConditionType.FAILED)
    )
    holds = NODES_FINALIZER in job.metadata.finalizers or (
        status.nodes is not None and status.nodes.instance_type is not None
    )
    return (
        over
        and not holds
        and status.observed_generation == job.metadata.generation
        and job.metadata.deletion_timestamp is None
        and job.spec.cleanup_after_seconds is None
    )
