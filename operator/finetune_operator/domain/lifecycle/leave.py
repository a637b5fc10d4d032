"""Leave: a deleted job whose nodes cost ends its pods and gives the nodes back; then it may go."""

from finetune_operator.domain.lifecycle import attempts
from finetune_operator.domain.lifecycle.work import Work
from finetune_operator.domain.names import Role


def leave(work: Work) -> bool:
    """Done unless the job is being deleted. The garbage collector comes only once it is gone."""
    if work.job.metadata.deletion_timestamp is None:
        return True
    work.actions += [job.delete() for job in work.seen.batch_jobs if not job.deleting]
    attempts.clear(work, work.seen.pods_of(Role.TRAIN), "the job was deleted")
    return False
