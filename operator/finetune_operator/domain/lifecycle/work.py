"""The sheet that the steps of the lifecycle fill in, one after the other."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from finetune_operator.api.conditions import ConditionType
from finetune_operator.api.fine_tune_job import FineTuneJob
from finetune_operator.api.fine_tune_job_status import (
    Attempts,
    FineTuneJobStatus,
    Phase,
    Plan,
    Resolved,
)
from finetune_operator.api.reason import Reason
from finetune_operator.domain import conditions, names
from finetune_operator.domain.actions import Action, Apply, Event, Finalize
from finetune_operator.domain.manifests.common import Blueprint
from finetune_operator.domain.names import Role
from finetune_operator.domain.observed import Observed
from finetune_operator.domain.outside import outside_of
from finetune_operator.domain.result_key import result_key
from finetune_trainer.recipe import Recipe

WATCHED_SECONDS = 10.0
"""How soon to look again at what nothing will tell us about, such as events of waiting pods."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a decision is told besides the job and what was observed of it."""

    now: datetime
    progress_url: str = ""
    progress_seconds: float = 10.0
    """Least time between two writes of progress; grows with the number of training jobs."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be done, what is then to be said, and when to look again."""

    status: FineTuneJobStatus
    actions: tuple[Action, ...] = ()
    events: tuple[Event, ...] = ()
    """To be recorded after the status was stored, if it changed."""

    requeue_after: float | None = None
    """Seconds; None: when something happens."""

    budget_used: float | None = None
    """The largest share of any limit that is used; None without limits, or if none holds now."""

    @property
    def starts_attempt(self) -> bool:
        """Whether the Job of a training attempt is made, or nodes are asked for the first time."""
        return any(
            (
                isinstance(action, Apply)
                and action.manifest["metadata"]["labels"].get(names.ROLE) == Role.TRAIN
            )
            or (isinstance(action, Finalize) and names.NODES_FINALIZER in action.finalizers)
            for action in self.actions
        )


class Work:
    """One decision in the making. Nothing in it outlives the call of `decide`."""

    def __init__(self, job: FineTuneJob, seen: Observed, around: Surroundings) -> None:
        self.job = job
        self.spec = job.spec
        self.seen = seen
        self.around = around
        self.now = around.now
        self.status = job.status
        self.actions: list[Action] = []
        self.events: list[Event] = []
        self.requeue_after: float | None = None
        # A place is told while the job waits for its turn, and by nobody else.
        self.update(observed_generation=job.metadata.generation, place=None)

    @property
    def attempts(self) -> Attempts:
        """The counters, 0 before the first attempt."""
        return self.status.attempts or Attempts()

    @property
    def resolved(self) -> Resolved:
        """What names stood for, as far as that is known."""
        return self.status.resolved or Resolved()

    @property
    def plan(self) -> Plan:
        """How the job is carried out; there from acceptance on."""
        if self.status.plan is None:
            raise LookupError(f"{self.job.metadata.name} is not accepted yet")
        return self.status.plan

    @property
    def over(self) -> bool:
        """Whether the job has succeeded or failed, for good."""
        return self.holds(ConditionType.SUCCEEDED) or self.holds(ConditionType.FAILED)

    def blueprint(self) -> Blueprint:
        """What the job's pods are built from."""
        return Blueprint(
            job=self.job,
            plan=self.plan,
            image=self.resolved.trainer_image or "",
            outside=outside_of(self.seen.finetune_class),
            progress_url=self.around.progress_url,
            model_cache=self.resolved.model_cache or "",
            result_key=self.result_key() or "",
            placement=self.seen.provision.placement,
        )

    def result_key(self) -> str | None:
        """By what the result can be told from others; None where it cannot."""
        if self.seen.recipe is None:
            return None
        recipe = Recipe.model_validate_json(self.seen.recipe.content)
        return result_key(recipe, self.resolved)

    def holds(self, kind: ConditionType) -> bool:
        """Whether a condition is True, as far as this decision has come."""
        return conditions.is_true(self.status.conditions, kind)

    def update(self, **fields: Any) -> None:
        """Changes fields of the status."""
        self.status = self.status.model_copy(update=fields)

    def set(self, kind: ConditionType, holds: bool, reason: Reason, message: str = "") -> bool:
        """Sets a condition; says whether its status or reason is new."""
        before = conditions.find(self.status.conditions, kind)
        status = "True" if holds else "False"
        after = conditions.set_condition(
            self.status.conditions,
            kind,
            "True" if holds else "False",
            reason,
            message or reason.meaning,
            generation=self.job.metadata.generation,
            now=self.now,
        )
        self.update(conditions=after)
        return before is None or (before.status, before.reason) != (status, reason.value)

    def goes_on(self, phase: Phase, reason: Reason, message: str = "") -> None:
        """Work is under way, or waits for something that may come by itself."""
        self.update(phase=phase)
        self.set(ConditionType.STALLED, False, Reason.IN_PROGRESS)
        news = self.set(ConditionType.RECONCILING, True, reason, message)
        if news and reason.remedy:
            self.event(reason, message, warning=True)

    def stalls(self, phase: Phase, reason: Reason, message: str) -> None:
        """Waits for a person, and loses nothing meanwhile."""
        self.update(phase=phase)
        self.set(ConditionType.RECONCILING, False, reason, message)
        if self.set(ConditionType.STALLED, True, reason, message):
            self.event(reason, message, warning=True)

    def rests(self, phase: Phase, reason: Reason) -> None:
        """Nothing is left to do unless the object changes."""
        self.update(phase=phase)
        self.set(ConditionType.RECONCILING, False, reason)
        self.set(ConditionType.STALLED, False, reason)

    def fail(self, reason: Reason, message: str) -> None:
        """Ends the job without a result, for good. What still runs goes before that is written
        down: nobody looks at a job that is over."""
        self.actions += [job.delete() for job in self.seen.batch_jobs if not job.over]
        self.stop_clock()
        self.update(phase=Phase.FAILED)
        self.set(ConditionType.RECONCILING, False, reason, message)
        self.set(ConditionType.STALLED, True, reason, message)
        self.set(ConditionType.FAILED, True, reason, message)
        self.event(reason, message, warning=True)
        self.again(0)

    def stop_clock(self) -> None:
        """Nothing trains now, so nobody can say how long it will take."""
        if self.status.progress is not None:
            self.update(progress=self.status.progress.model_copy(update={"remaining": None}))

    def event(self, reason: Reason, message: str, *, warning: bool = False) -> None:
        """Tells people, once the status is stored."""
        told = Event(reason.value, message or reason.meaning, warning)
        if told not in self.events:
            self.events.append(told)

    def again(self, seconds: float) -> None:
        """Asks to be called again; the soonest wish counts."""
        if self.requeue_after is None or seconds < self.requeue_after:
            self.requeue_after = max(0.0, seconds)

    def decision(self, budget_used: float | None = None) -> Decision:
        """The filled sheet."""
        return Decision(
            self.status,
            tuple(self.actions),
            tuple(self.events),
            self.requeue_after,
            budget_used,
        )
