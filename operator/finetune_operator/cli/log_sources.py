"""Which containers of a job's pods are read, in which order, and what their lines begin with."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from finetune_operator.cli.pods import task
from finetune_operator.domain.names import Role
from finetune_operator.domain.observed import Container, Pod


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the user asked for; None: whichever there is."""

    role: Role | None = None
    attempt: int | None = None
    rank: int | None = None

    def takes(self, pod: Pod) -> bool:
        """Only training has attempts and ranks."""
        of_training = (self.attempt, self.rank) != (None, None)
        role = self.role or (Role.TRAIN if of_training else None)
        return (
            role in (None, pod.role)
            and self.attempt in (None, pod.number)
            and self.rank in (None, pod.index)
        )


@dataclass(frozen=True, slots=True)
class Source:
    """A container that runs, or has run."""

    pod: str
    uid: str
    container: str
    prefix: str
    """train-2/0, or prepare-1/fetch-model where a pod has several containers."""
    rank: int
    over: bool


def sources(pods: Iterable[Pod], wanted: Wanted) -> Iterator[Source]:
    """Of pods in the order of a job's life."""
    for pod in pods:
        if wanted.takes(pod):
            for container in pod.containers:
                if container.running or container.exit_code is not None:
                    yield _source(pod, container)


def _source(pod: Pod, container: Container) -> Source:
    own = container.name == pod.role.value
    return Source(
        pod=pod.name,
        uid=pod.uid,
        container=container.name,
        prefix=task(pod) if own else f"{task(pod)}/{container.name}",
        rank=pod.index,
        over=container.exit_code is not None,
    )
