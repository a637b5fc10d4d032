"""Whether a job could train, were it its turn."""

from finetune_operator.api.conditions import ConditionType
from finetune_operator.api.fine_tune_job_status import FineTuneJobStatus
from finetune_operator.domain import conditions


def is_ready(status: FineTuneJobStatus) -> bool:
    """Model and data are there, and no earlier result takes the place of training."""
    checked = status.resolved is not None and status.resolved.dataset_digest is not None
    looked = conditions.find(status.conditions, ConditionType.TRAINED) is not None
    # Begun by an operator that looked for no results.
    begun = status.attempts is not None and status.attempts.current > 0
    return checked and (looked or begun)
