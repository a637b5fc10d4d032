"""What a publisher is: the objects it looks at, and what it makes of them. No publisher does I/O.

A further publisher is a file here, one line in PUBLISHERS, and its settings in api/output.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from finetune_operator.api.fine_tune_job import FineTuneJob
from finetune_operator.api.fine_tune_job_status import Artifact
from finetune_operator.domain.actions import JsonObject
from finetune_operator.domain.kinds import Kind
from finetune_operator.domain.publication import Publication


@dataclass(frozen=True, slots=True)
class Read:
    """Objects of the job's namespace that have to be read live before publishing."""

    kind: Kind
    name: str | None = None
    """One object; None: all of them."""


Observed = Mapping[Read, tuple[JsonObject, ...] | None]
"""What was read; None: the API server does not serve that kind."""


class Publisher(Protocol):
    """One way to publish. Both verbs are pure and may be asked again at any time."""

    def reads(self, job: FineTuneJob) -> tuple[Read, ...]:
        """What publish() has to see."""
        ...

    def publish(self, job: FineTuneJob, artifact: Artifact, observed: Observed) -> Publication:
        """Where the publication stands and what brings it further.

        A repeat, also one after a crash between the actions and the status, asks for nothing
        that is there already.

        Args:
            job: with status.resolved, and status.published once that was written.
            artifact: what was pushed, by digest.
            observed: the answer to each of reads().
        """
        ...


def image_of(artifact: Artifact) -> str:
    """The artifact as kubelets and KAITO name it: without scheme, by digest."""
    return artifact.uri.removeprefix("oci://")
