"""The pods of jobs, for a person: what each of them is for, and what it does."""

from collections.abc import Iterable

from finetune_operator.domain.actions import JsonObject
from finetune_operator.domain.names import Role
from finetune_operator.domain.observed import Container, Pod
from finetune_operator.domain.views import view_pod

ROLES = (Role.PREPARE, Role.REUSE, Role.TRAIN, Role.PUBLISH)
"""Of a FineTuneJob, in the order of its life."""


def ordered(objects: Iterable[JsonObject]) -> list[Pod]:
    """Those that belong to FineTuneJobs, in the order of a job's life, the ranks side by side."""
    views = [view for each in objects if (view := view_pod(each)) and view.role in ROLES]
    return sorted(views, key=lambda pod: (ROLES.index(pod.role), pod.number, pod.index, pod.name))


def task(pod: Pod) -> str:
    """train-2/0: attempt 2, rank 0; prepare-1 and publish-1 have no ranks."""
    rank = f"/{pod.index}" if pod.role is Role.TRAIN else ""
    return f"{pod.role.value}-{pod.number}{rank}"


def state(pod: Pod) -> str:
    """In the words that kubectl get pods has for it."""
    if pod.over:
        failed = next((each for each in pod.containers if each.exit_code), None)
        return f"{pod.phase}, {_exit(failed)}" if failed else pod.phase
    if pod.deleted is not None:
        return "Terminating"
    if not pod.node:
        return "Unschedulable" if pod.unschedulable else "Pending"
    for container in pod.containers:
        if container.waiting_reason not in ("", "PodInitializing", "ContainerCreating"):
            return container.waiting_reason
    running = [container.name for container in pod.containers if container.running]
    if running and running[0] != pod.role.value:
        return f"Running {running[0]}"
    return pod.phase if running else "ContainerCreating"


def _exit(container: Container) -> str:
    why = f" ({container.end_reason})" if container.end_reason not in ("", "Error") else ""
    return f"{container.name} exit {container.exit_code}{why}"
