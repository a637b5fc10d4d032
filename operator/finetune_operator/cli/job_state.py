"""What a FineTuneJob's status says to a person: why it is where it is, what to do, how it ended."""

import re
from dataclasses import dataclass
from datetime import datetime

from rich.text import Text

from finetune_operator.api.conditions import Condition, ConditionType
from finetune_operator.api.fine_tune_job import FineTuneJob
from finetune_operator.api.fine_tune_job_status import FineTuneJobStatus, Phase
from finetune_operator.api.reason import Reason
from finetune_operator.domain.conditions import find, is_true
from finetune_operator.domain.progress import duration
from finetune_trainer.exit_codes import ExitCode

_STYLES = {
    Phase.TRAINING: "cyan",
    Phase.PUBLISHING: "cyan",
    Phase.SUSPENDED: "magenta",
    Phase.SUCCEEDED: "green",
    Phase.FAILED: "red",
}
_PLACE = re.compile(r"^place (\d+) of (\d+)\b")


@dataclass(frozen=True, slots=True)
class Telling:
    """Why a job is where it is."""

    reason: str
    message: str
    since: datetime | None
    """None where nobody has noted it: work goes on from reason to reason."""
    remedy: str
    """Empty where nothing has to be done, or nothing is known."""


@dataclass(frozen=True, slots=True)
class End:
    """Nothing more happens to a job unless a person changes it."""

    code: ExitCode | int
    """What a command that waits for the end exits with: as the trainer would."""
    message: str


def telling(status: FineTuneJobStatus) -> Telling | None:
    """From the condition that decides; None before the operator has looked."""
    for kind in (
        ConditionType.FAILED,
        ConditionType.STALLED,
        ConditionType.SUSPENDED,
        ConditionType.SUCCEEDED,
    ):
        decides = find(status.conditions, kind)
        if decides and decides.status == "True":
            return _told(decides, decides.last_transition_time)
    goes_on = find(status.conditions, ConditionType.RECONCILING)
    return _told(goes_on, _waits_since(status, goes_on.reason)) if goes_on else None


def _waits_since(status: FineTuneJobStatus, reason: str) -> datetime | None:
    """Of what is waited for there is a condition that has been False since then."""
    for kind in (ConditionType.NODES_READY, ConditionType.ADMITTED):
        waits = find(status.conditions, kind)
        if waits and (waits.status, waits.reason) == ("False", reason):
            return waits.last_transition_time
    return None


def _told(condition: Condition, since: datetime | None) -> Telling:
    remedy = next((each.remedy for each in Reason if each == condition.reason), "")
    # What the scheduler or the kubelet said already ends in the advice.
    message = condition.message.removesuffix(remedy).rstrip()
    return Telling(condition.reason, message, since, remedy)


def end(status: FineTuneJobStatus) -> End | None:
    """How the job ended, or that it is suspended; None while it goes on."""
    told = telling(status)
    if told is None:
        return None
    if is_true(status.conditions, ConditionType.SUCCEEDED):
        return End(ExitCode.OK, "Succeeded")
    if is_true(status.conditions, ConditionType.FAILED):
        codes = {code.reason: code for code in ExitCode if code is not ExitCode.OK}
        return End(codes.get(told.reason, 1), f"Failed: {told.reason}: {told.message}")
    if is_true(status.conditions, ConditionType.SUSPENDED):
        return End(ExitCode.PREEMPTED, f"Suspended: {told.message}")
    return None


def over(status: FineTuneJobStatus) -> bool:
    """Whether the job has succeeded or failed, for good."""
    return is_true(status.conditions, ConditionType.SUCCEEDED) or is_true(
        status.conditions, ConditionType.FAILED
    )


def phase(status: FineTuneJobStatus) -> Text:
    """In the colour of the phase; empty before the operator has looked."""
    return Text(status.phase or "", _STYLES.get(status.phase, "") if status.phase else "")


def queue_place(status: FineTuneJobStatus) -> str:
    """2/5 of a job that is the second of five that wait; `waits` where no place is told."""
    admitted = find(status.conditions, ConditionType.ADMITTED)
    waits = admitted is not None and admitted.status == "False"
    if admitted is None or not waits or admitted.reason != Reason.WAITING_FOR_TURN:
        return ""
    place = _PLACE.match(admitted.message)
    return f"{place[1]}/{place[2]}" if place else "waits"


def speed(status: FineTuneJobStatus) -> str:
    """Tokens a second; empty unless training goes on."""
    if status.progress is None or status.phase is not Phase.TRAINING:
        return ""
    return str(status.progress.tokens_per_second or "")


def age(moment: datetime | None, now: datetime) -> str:
    """Since that moment, such as 5m23s; empty when it is not known."""
    return "" if moment is None else duration(round((now - moment).total_seconds()))


def job_age(job: FineTuneJob, now: datetime) -> str:
    return age(job.metadata.creation_timestamp, now)
