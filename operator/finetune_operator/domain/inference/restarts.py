"""Why serving pods start again and again: what a container said when it ended."""

from collections.abc import Iterable

from finetune_operator.api.reason import Reason
from finetune_operator.domain.endings import said_by
from finetune_operator.domain.observed import Container, Pod
from finetune_operator.domain.waiting import Waiting
from finetune_trainer.exit_codes import ExitCode


def explain_restarts(pods: Iterable[Pod]) -> Waiting | None:
    """The last failure of a container that is not ready since; None if there was none.

    It stays the same while the container is started anew, so that what is reported does not
    change back and forth with every try.
    """
    for pod in pods:
        if pod.over or pod.deleted is not None:
            continue
        for container in pod.containers:
            ended = container if container.exit_code else container.previous
            if ended is not None and ended.exit_code and not container.ready:
                return _explained(pod, ended)
    return None


def _explained(pod: Pod, ended: Container) -> Waiting:
    where = f"container {ended.name} of pod {pod.name}"
    if ended.end_reason == "OOMKilled":
        return Waiting(
            Reason.OUT_OF_MEMORY,
            f"{where} reached its memory limit: raise spec.podTemplate.resources.limits.memory",
        )
    said = said_by(ended) or "it said no more; see its log"
    if ended.exit_code in frozenset(ExitCode):
        return Waiting(Reason[ExitCode(ended.exit_code).name], f"{where}: {said}")
    return Waiting(
        Reason.CONTAINER_CANNOT_START, f"{where} ended with exit code {ended.exit_code}: {said}"
    )
