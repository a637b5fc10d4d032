"""What a change of a job's status tells metrics and traces, and what a status says is going on.

All of it is read from what was written down: so another replica, or an operator that was started
anew, tells the same of the same change. Moments are those at which the operator saw something.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from finetune_operator.api.conditions import Condition, ConditionType
from finetune_operator.api.fine_tune_job_status import FineTuneJobStatus
from finetune_operator.api.reason import Reason
from finetune_operator.domain import conditions, cost
from finetune_operator.domain.readiness import is_ready


class Stage(StrEnum):
    """A part of a job's life that has a beginning and an end. Only attempts and the making of
    nodes, which some providers do for pods that wait, overlap."""

    PREPARE = "Prepare"
    """Model and data are fetched and checked, and an earlier result is looked for."""
    QUEUE = "Queue"
    """Ready to go on, and it is not its turn; or the pause after an attempt that failed."""
    PROVISION = "Provision"
    """Not every pod has a node."""
    ATTEMPT = "Attempt"
    """Pods that train may exist."""
    PUBLISH = "Publish"
    """The result is pushed and published."""


@dataclass(frozen=True, slots=True)
class Passed:
    """A stage that is over."""

    stage: Stage
    began: datetime
    """Where an attempt ended before anybody wrote down that it began: its end."""
    ended: datetime
    attempt: int = 0
    """Number of the attempt; 0 of what belongs to none."""
    reason: str = ""
    """Why it ended without a result; empty where all went well."""

    @property
    def seconds(self) -> float:
        """How long it took; never negative."""
        return (self.ended - self.began).total_seconds()


@dataclass(frozen=True, slots=True)
class Told:
    """What one change of a status says."""

    passed: tuple[Passed, ...] = ()
    restarted: str = ""
    """Why the attempt that has just ended is to be followed by another."""
    finished: Condition | None = None
    """Succeeded or Failed, which has just become True."""
    first_step: timedelta | None = None
    """How long it took from applying the job, or resuming it, to its first step."""
    spent: Decimal = Decimal(0)
    """What its nodes have cost since it was counted before, in the currency of status.cost."""
    idle: Decimal = Decimal(0)
    """Of that, while no attempt was training."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Of a job whose pods are waited for: in which stage, and since when."""

    stage: Stage
    since: datetime


_ADMITTED, _NODES, _TRAINED = (
    ConditionType.ADMITTED,
    ConditionType.NODES_READY,
    ConditionType.TRAINED,
)
_OVER = (ConditionType.SUCCEEDED, ConditionType.FAILED)
_HOLDS_UP = {each.value for each in Reason if each.remedy} | {Reason.PROVISIONING.value}


def tell(before: FineTuneJobStatus, after: FineTuneJobStatus, created: datetime | None) -> Told:
    """What is new.

    Args:
        before: as it was read.
        after: as it was then written.
        created: when the job was applied.
    """
    change = _Change(before, after)
    passed = (change.prepared(), change.queued(), change.provisioned())
    attempt = change.attempted()
    finished = next((found for each in _OVER if (found := change.became(each))), None)
    return Told(
        passed=tuple(each for each in (*passed, attempt, change.published()) if each),
        restarted=attempt.reason if attempt and not finished else "",
        finished=finished,
        first_step=change.first_step(created),
        # A bill that somebody has removed begins anew, and takes nothing back.
        spent=max(Decimal(0), cost.spent(after.cost) - cost.spent(before.cost)),
        idle=max(Decimal(0), cost.idle(after.cost) - cost.idle(before.cost)),
    )


def under_way_since(status: FineTuneJobStatus) -> datetime | None:
    """Since when pods of an attempt may exist; None while they may not."""
    over = any(conditions.is_true(status.conditions, each) for each in (_TRAINED, *_OVER))
    return None if over else _since(status, _ADMITTED, "True")


def waiting(status: FineTuneJobStatus) -> Waiting | None:
    """What the job waits for, if its pods have no nodes and it is neither suspended nor over."""
    over = (_TRAINED, ConditionType.SUSPENDED, ConditionType.STALLED, *_OVER)
    if any(conditions.is_true(status.conditions, each) for each in over) or not is_ready(status):
        return None
    if (since := _nodes_wanted_since(status)) is not None:
        return Waiting(Stage.PROVISION, since)
    if conditions.is_true(status.conditions, _ADMITTED):
        return None
    since = _ready_since(status)
    return Waiting(Stage.QUEUE, since) if since else None


def held_up(status: FineTuneJobStatus) -> tuple[ConditionType, str] | None:
    """Stalled or Reconciling, and the reason, of a job that waits for something outside."""
    if conditions.is_true(status.conditions, ConditionType.FAILED):
        return None
    stalled = conditions.find(status.conditions, ConditionType.STALLED)
    if stalled is not None and stalled.status == "True":
        return ConditionType.STALLED, stalled.reason
    doing = conditions.find(status.conditions, ConditionType.RECONCILING)
    if doing is None or doing.status != "True" or doing.reason not in _HOLDS_UP:
        return None
    return ConditionType.RECONCILING, doing.reason


class _Change:
    """Two statuses, of which the later was written over the earlier."""

    def __init__(self, before: FineTuneJobStatus, after: FineTuneJobStatus) -> None:
        self.before = before
        self.after = after

    def became(self, kind: ConditionType) -> Condition | None:
        """The condition, if it is True only now."""
        if conditions.is_true(self.before.conditions, kind):
            return None
        found = conditions.find(self.after.conditions, kind)
        return found if found and found.status == "True" else None

    def prepared(self) -> Passed | None:
        began = _latest(_since(self.after, ConditionType.STARTED, "True"), _resumed(self.after))
        if is_ready(self.before) or not is_ready(self.after):
            return None
        return _passed(Stage.PREPARE, began, _prepared_at(self.after))

    def queued(self) -> Passed | None:
        """Up to the admission; of the first attempt, up to when nodes were asked for."""
        admitted = self.became(_ADMITTED)
        ended = admitted.last_transition_time if admitted else None
        if _first(self.before):
            if conditions.find(self.before.conditions, _NODES):
                return None
            asked = conditions.find(self.after.conditions, _NODES)
            moments = [ended, asked.last_transition_time if asked else None]
            ended = min((each for each in moments if each), default=None)
        return _passed(Stage.QUEUE, _ready_since(self.after), ended, self._number())

    def provisioned(self) -> Passed | None:
        """Not where nobody saw the nodes come, only that training had ended."""
        ready = self.became(_NODES)
        if ready is None or self.became(_TRAINED):
            return None
        began = _nodes_wanted_since(self.before) or _since(self.after, _ADMITTED, "True")
        return _passed(Stage.PROVISION, began, ready.last_transition_time, self._number())

    def attempted(self) -> Passed | None:
        began = _since(self.before, _ADMITTED, "True")
        last = self.after.attempts.last if self.after.attempts else None
        known = self.before.attempts.last if self.before.attempts else None
        if last is not None and last != known:
            number, ended, reason = last.number, last.time, last.reason
        elif (trained := self.became(_TRAINED)) and trained.reason != Reason.REUSED:
            number, ended, reason = self._number(), trained.last_transition_time, ""
        elif under_way_since(self.before) and (failed := self.became(ConditionType.FAILED)):
            number, ended, reason = self._number(), failed.last_transition_time, failed.reason
        else:
            return None
        return _passed(Stage.ATTEMPT, began or ended, ended, number, reason)

    def published(self) -> Passed | None:
        began = _latest(_since(self.after, _TRAINED, "True"), _resumed(self.after))
        if published := self.became(ConditionType.PUBLISHED):
            return _passed(Stage.PUBLISH, began, published.last_transition_time)
        failed = self.became(ConditionType.FAILED)
        if failed is None or not conditions.is_true(self.before.conditions, _TRAINED):
            return None
        return _passed(Stage.PUBLISH, began, failed.last_transition_time, reason=failed.reason)

    def first_step(self, created: datetime | None) -> timedelta | None:
        """An attempt that begins anew has a loss already, of the one before it."""
        known, now = self.before.progress, self.after.progress
        if known is None or now is None or known.step or known.loss is not None:
            return None
        began = _latest(created, _resumed(self.after))
        if now.step == 0 or began is None or self.became(_TRAINED):
            return None
        return max(timedelta(0), now.updated_at - began)

    def _number(self) -> int:
        """Of the attempt that is under way, or comes next."""
        if self.after.attempts is None:
            return 1
        return max(1, self.after.attempts.current)


def _passed(
    stage: Stage,
    began: datetime | None,
    ended: datetime | None,
    attempt: int = 0,
    reason: str = "",
) -> Passed | None:
    """A clock that was set back makes no time negative."""
    if began is None or ended is None:
        return None
    return Passed(stage, min(began, ended), ended, attempt, reason)


def _prepared_at(status: FineTuneJobStatus) -> datetime | None:
    """When the data had been checked, or later, when there was no earlier result to use; the
    progress was written last at the former, or before the last attempt ended."""
    checked = status.progress.updated_at if status.progress else None
    return _latest(checked, _since(status, _TRAINED, "False"))


def _first(status: FineTuneJobStatus) -> bool:
    return status.attempts is None or status.attempts.current == 0


def _ready_since(status: FineTuneJobStatus) -> datetime | None:
    """When the next attempt could have started, had it been its turn."""
    last = status.attempts.last if status.attempts else None
    return _latest(_prepared_at(status), last.time if last else None, _resumed(status))


def _nodes_wanted_since(status: FineTuneJobStatus) -> datetime | None:
    """Of the first attempt, when nodes were asked for; of a later one, when its pods could be made:
    what it had to wait for before that looks like the wait for its turn."""
    nodes = _since(status, _NODES, "False")
    admitted = _since(status, _ADMITTED, "True")
    if nodes is None or (admitted is None and not _first(status)):
        return None
    number = status.attempts.current if status.attempts else 0
    return _latest(nodes, admitted if number > 1 else None, _resumed(status))


def _resumed(status: FineTuneJobStatus) -> datetime | None:
    return _since(status, ConditionType.SUSPENDED, "False")


def _since(status: FineTuneJobStatus, kind: ConditionType, state: str) -> datetime | None:
    found = conditions.find(status.conditions, kind)
    return found.last_transition_time if found and found.status == state else None


def _latest(*moments: datetime | None) -> datetime | None:
    return max((each for each in moments if each), default=None)
