"""A job whose every status is kept, and what happens to it in most histories."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from finetune_operator.api.fine_tune_job import FineTuneJob
from finetune_operator.domain.lifecycle import Decision, Surroundings, refused
from finetune_operator.domain.observed import Observed
from tests.unit.domain.in_memory import InMemory

TWO_NODES = {"nodes": 2, "device": "CPU"}


class Recorded(InMemory):
    """A job of which every status is kept that was ever stored."""

    def __init__(self, the_job: FineTuneJob | None = None) -> None:
        super().__init__(the_job)
        self.history: list[FineTuneJob] = []
        self.also_seen: dict[str, Any] = {}
        """Fields of what is observed, in place of what lies in memory."""

    def observe(self) -> Observed:
        return replace(super().observe(), **self.also_seen)

    def reconcile(self, crash_after: int | None = None) -> Decision:
        decision = super().reconcile(crash_after)
        self.history.append(self.job)
        return decision

    def refuse(self, message: str, *, for_good: bool) -> None:
        """The API server refuses a child."""
        around = Surroundings(now=self.now)
        decision = refused(self.job, self.observe(), around, message, for_good=for_good)
        self.job = self.job.model_copy(update={"status": decision.status})
        self.history.append(self.job)


History = Callable[[], Recorded]
"""Tells what happened, up to the moment that its name speaks of."""


def finish_pods(world: Recorded) -> None:
    """All pods that there are end well."""
    world.settle()
    world.make_pods()
    for pod in world.pods():
        world.run(pod)
        world.end(pod)
    world.settle()
