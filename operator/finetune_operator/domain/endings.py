"""How a Job of ours ended, and what that means for the next attempt.

A verdict comes from the pods while they are there, else from the rule that the Job controller
says fired. Of several pods the most telling decides: the one that names an error first, one that
merely lost its peer last.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum

from pydantic import ValidationError

from finetune_operator.api.reason import Reason
from finetune_operator.domain.observed import BatchJob, Container, Pod
from finetune_trainer.exit_codes import FREE, TERMINAL, ExitCode
from finetune_trainer.manifest import Failure

FAIL_JOB_ON: tuple[ExitCode, ...] = (
    ExitCode.PREEMPTED,
    ExitCode.SUPERSEDED,
    ExitCode.PEER_LOST,
    ExitCode.CONFIGURATION_ERROR,
    ExitCode.DATA_ERROR,
    ExitCode.OUT_OF_MEMORY,
    ExitCode.DIVERGED,
    ExitCode.UNAVAILABLE,
    ExitCode.CREDENTIALS_REFUSED,
)
"""Exit codes with a FailJob rule of their own. Rule 0 is DisruptionTarget; the code at position i
has rule i + 1, so that the index in the Job's message tells which of them fired."""

KILLED = frozenset({128 + 9, 128 + 15})
"""Exit codes of a container that was killed from outside: SIGKILL, SIGTERM."""

_RULE = re.compile(r"rule at index (\d+)")


class Outcome(IntEnum):
    """What an end means; of several pods the greatest outcome decides."""

    SUCCEEDED = 0
    PEER_LOST = 1
    """Follows from another pod's end; without one to see, a disruption."""
    DISRUPTED = 2
    """Free: another attempt follows and nothing is counted."""
    UNAVAILABLE = 3
    """Something outside is missing for now."""
    FAILED = 4
    """Counted against restarts.limit."""
    EVICTED = 5
    """Free, and the likely cause of what the other pods report."""
    TERMINAL = 6
    """Another attempt cannot help."""


@dataclass(frozen=True, slots=True)
class Ending:
    """The verdict on one Job."""

    outcome: Outcome
    reason: Reason
    message: str

    @property
    def free(self) -> bool:
        """Not counted against restarts.limit."""
        return self.outcome in (Outcome.DISRUPTED, Outcome.EVICTED, Outcome.PEER_LOST)


def telling(pods: Iterable[Pod]) -> tuple[Pod, Container] | None:
    """The pod that decides how a Job ended, and which of its containers; None where none says."""
    told = [
        (verdict.outcome, pod, ended)
        for pod in pods
        if (verdict := _of_pod(pod)) and (ended := _first_failure(pod.containers))
    ]
    if not told:
        return None
    _, pod, ended = max(told, key=lambda each: each[0])
    return pod, ended


def classify(job: BatchJob | None, pods: Sequence[Pod]) -> Ending:
    """The verdict on a Job that is over, or gone (None), from what is left of it."""
    if job is not None and job.complete:
        return Ending(Outcome.SUCCEEDED, Reason.FINISHED, "")
    verdicts = [verdict for pod in pods if (verdict := _of_pod(pod)) is not None]
    if verdicts:
        return max(verdicts, key=lambda ending: ending.outcome)
    if job is None or job.failure is None:
        return Ending(Outcome.DISRUPTED, Reason.DISRUPTED, "its Job was deleted")
    if job.suspended and _RULE.search(job.failure) is None:
        # Its queue has stopped it; how the pods took that is no failure of training.
        return Ending(Outcome.DISRUPTED, Reason.PREEMPTED, "its queue has suspended the Job")
    return _of_rule(job.failure)


def _of_pod(pod: Pod) -> Ending | None:
    """None for a pod that succeeded, or of which nothing is known."""
    ended = _first_failure(pod.containers)
    named = ended is not None and _is_terminal(ended)
    if pod.disruption and not named:
        message = f"pod {pod.name} was disrupted ({pod.disruption}) {pod.message}".strip()
        return Ending(Outcome.EVICTED, Reason.DISRUPTED, message)
    if ended is None:
        if pod.phase == "Failed" or pod.deleted is not None:
            message = f"pod {pod.name} went away {pod.message}".strip()
            return Ending(Outcome.DISRUPTED, Reason.DISRUPTED, message)
        return None
    ending = _of_container(pod, ended)
    if ending.outcome is Outcome.FAILED and _was_told_to_go(pod, ended):
        # How it took that is no failure of training.
        return Ending(Outcome.DISRUPTED, Reason.DISRUPTED, f"pod {pod.name} was deleted")
    return ending


def _was_told_to_go(pod: Pod, ended: Container) -> bool:
    """Whether the pod was being deleted when the container ended.

    What had ended before that failed by itself: a Job that fails deletes the pods that are left,
    also those whose end it has not yet heard of.
    """
    if pod.deleted is None:
        return False
    return ended.ended is None or ended.ended >= pod.deleted


def _first_failure(containers: Iterable[Container]) -> Container | None:
    return next((container for container in containers if container.exit_code), None)


def _is_terminal(container: Container) -> bool:
    return container.exit_code in TERMINAL or container.end_reason == "OOMKilled"


def _of_container(pod: Pod, container: Container) -> Ending:
    code = container.exit_code
    where = f"container {container.name} of pod {pod.name}"
    if container.end_reason == "OOMKilled":
        message = (
            f"{where} reached its memory limit: lower training.maxLength or"
            " training.tokensPerBatch, or raise compute.podTemplate.resources.limits.memory"
        )
        return Ending(Outcome.TERMINAL, Reason.OUT_OF_MEMORY, message)
    said = said_by(container)
    if code in FAIL_JOB_ON:
        known = ExitCode(code)
        return Ending(_outcome(known), Reason[known.name], said or f"{where} said no more")
    if code in KILLED:
        return Ending(Outcome.FAILED, Reason.TRAINER_FAILED, f"{where} was killed (exit {code})")
    message = f"{where} ended with exit code {code}"
    return Ending(Outcome.FAILED, Reason.TRAINER_FAILED, f"{message}: {said}" if said else message)


def said_by(container: Container) -> str:
    """The message in a termination message; the text itself (the log's end) if it is not ours."""
    try:
        return Failure.model_validate_json(container.message).message
    except ValidationError:
        return container.message.strip()


def _of_rule(failure: str) -> Ending:
    fired = _RULE.search(failure)
    if fired is None:
        return Ending(Outcome.FAILED, Reason.TRAINER_FAILED, failure)
    index = int(fired.group(1))
    if not 0 < index <= len(FAIL_JOB_ON):
        return Ending(Outcome.EVICTED, Reason.DISRUPTED, failure)
    code = FAIL_JOB_ON[index - 1]
    return Ending(_outcome(code), Reason[code.name], failure)


def _outcome(code: ExitCode) -> Outcome:
    if code in TERMINAL:
        return Outcome.TERMINAL
    if code in FREE:
        return Outcome.DISRUPTED
    return Outcome.PEER_LOST if code is ExitCode.PEER_LOST else Outcome.UNAVAILABLE
