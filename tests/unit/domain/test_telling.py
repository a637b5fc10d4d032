"""What changes of a status say: of chosen lives exactly, and of any life what must always hold."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta

import pytest
from hypothesis import HealthCheck, settings

from finetune_operator.api.conditions import ConditionType
from finetune_operator.api.fine_tune_job import FineTuneJob
from finetune_operator.domain import cost
from finetune_operator.domain.lifecycle import Decision
from finetune_operator.domain.telling import (
    Passed,
    Stage,
    Told,
    Waiting,
    held_up,
    tell,
    under_way_since,
    waiting,
)
from tests.unit.domain.in_memory import CLAIMING, START, InMemory, job
from tests.unit.domain.lifecycle.looks import edit, report
from tests.unit.domain.test_lifecycle_machine import Life, LifeOnGivenNodes


class Recording(InMemory):
    """Notes what every status that is written says."""

    def __init__(self, the_job: FineTuneJob | None = None) -> None:
        super().__init__(the_job)
        self.told: list[Told] = []

    def reconcile(self, crash_after: int | None = None) -> Decision:
        before = self.job.status
        decision = super().reconcile(crash_after)
        self.told.append(tell(before, self.job.status, START))
        return decision

    def passed(self) -> list[tuple[str, int, float, str]]:
        """(stage, attempt, seconds, reason), in the order in which they were told."""
        return [
            (each.stage.value, each.attempt, each.seconds, each.reason)
            for told in self.told
            for each in told.passed
        ]

    def wait(self, seconds: int) -> None:
        """Time passes, in which the operator is called often enough."""
        self.now += timedelta(seconds=seconds)
        self.settle()

    def prepared(self, seconds: int) -> None:
        self.settle()
        self.make_pods()
        self.run(self.pods()[0])
        self.now += timedelta(seconds=seconds)
        self.end(self.pods()[0])
        self.settle()
        self.make_pods()


def test_a_life_in_which_all_goes_well() -> None:
    world = Recording()
    world.prepared(40)
    world.wait(5)
    world.run(world.pods()[0])
    world.settle()
    world.progress = report(0).model_copy(update={"loss": None})
    world.wait(20)
    world.progress = report(12)
    world.wait(30)
    world.now += timedelta(seconds=600)
    world.end(world.pods()[0])
    world.settle()
    world.make_pods()
    world.run(world.pods()[0])
    world.wait(15)
    world.end(world.pods()[0])
    world.settle()
    assert world.passed() == [
        ("Prepare", 0, 40, ""),
        ("Queue", 1, 0, ""),
        ("Provision", 1, 5, ""),
        ("Attempt", 1, 655, ""),
        ("Publish", 0, 15, ""),
    ]
    assert [each.first_step for each in world.told if each.first_step] == [timedelta(seconds=95)]
    assert [each.finished.type for each in world.told if each.finished] == ["Succeeded"]
    assert not any(each.restarted for each in world.told)


def test_an_attempt_that_is_evicted_is_told_with_its_reason_and_the_wait_for_the_next() -> None:
    world = Recording()
    pod = world.to_training()
    world.told.clear()
    world.now += timedelta(seconds=300)
    world.evict(pod)
    world.end(pod, 13)
    world.settle()
    assert world.passed() == [("Attempt", 1, 300, "Disrupted"), ("Queue", 2, 0, "")]
    assert [each.restarted for each in world.told if each.restarted] == ["Disrupted"]


def test_the_pause_after_a_failure_is_waiting() -> None:
    world = Recording()
    world.end(world.to_training(), 1, "an error")
    world.settle()
    world.told.clear()
    assert waiting(world.job.status) == Waiting(Stage.QUEUE, world.now)
    world.wait(10)
    assert world.passed() == [("Queue", 2, 10, "")]


def test_nodes_that_are_made_first_are_provisioning_from_when_they_are_asked_for() -> None:
    world = Recording(job(compute={"device": "CPU", "instanceTypes": ["large"]}))
    world.finetune_class = CLAIMING
    world.prepared(40)
    asked = world.now
    world.wait(200)
    assert waiting(world.job.status) == Waiting(Stage.PROVISION, asked)
    assert held_up(world.job.status) == (ConditionType.RECONCILING, "Provisioning")
    world.give_nodes()
    world.wait(10)
    world.make_pods()
    world.run(world.pods()[0])
    world.settle()
    assert world.passed()[1:] == [("Queue", 1, 0, ""), ("Provision", 1, 210, "")]
    assert waiting(world.job.status) is None


def test_what_nodes_cost_is_told_bit_by_bit() -> None:
    types = {"device": "CPU", "instanceTypes": ["Standard_NC24ads_A100_v4"]}
    world = Recording(job(compute=types))
    world.finetune_class = CLAIMING
    pod = world.to_training()
    for _ in range(3):
        world.wait(400)
    world.end(pod)
    world.settle()
    bill = world.job.status.cost
    assert cost.spent(bill) > cost.idle(bill) > 0
    spent, idle = (sum(getattr(told, each) for told in world.told) for each in ("spent", "idle"))
    assert (float(spent), float(idle)) == pytest.approx(
        (float(cost.spent(bill)), float(cost.idle(bill)))
    )
    assert len([told for told in world.told if told.spent]) > 3
    emptied = world.job.status.model_copy(update={"cost": None})
    assert tell(world.job.status, emptied, START).spent == 0, "no counter goes back"


def test_time_in_suspension_is_nobodys() -> None:
    world = Recording()
    pod = world.to_training()
    edit(world, suspend=True)
    world.settle()
    world.end(pod, 13)
    world.settle()
    assert world.job.status.phase == "Suspended"
    assert (waiting(world.job.status), under_way_since(world.job.status)) == (None, None)
    world.now += timedelta(days=3)
    world.told.clear()
    edit(world, suspend=False)
    world.settle()
    assert world.passed() == [("Queue", 2, 0, "")]


def test_a_job_that_fails_in_training_has_no_restart() -> None:
    world = Recording(job(restarts={"limit": 0}))
    world.end(world.to_training(), 1, "an error")
    world.settle()
    (end,) = [each.finished for each in world.told if each.finished]
    assert (end.type, end.reason) == ("Failed", "RestartLimitReached")
    assert not any(each.restarted for each in world.told)
    assert world.passed()[-1][:2] == ("Attempt", 1)
    assert held_up(world.job.status) is None


def test_a_job_that_cannot_be_carried_out_is_stalled() -> None:
    world = Recording()
    world.finetune_class = None
    world.settle()
    assert held_up(world.job.status) == (ConditionType.STALLED, "ClassNotFound")
    assert waiting(world.job.status) is None


def test_who_was_away_during_the_whole_training_tells_no_times_that_nobody_saw() -> None:
    world = Recording()
    world.prepared(40)
    world.now += timedelta(hours=5)
    world.run(world.pods()[0])
    world.end(world.pods()[0])
    world.settle()
    assert [each for each in world.passed() if each[0] == "Provision"] == []
    assert [each.first_step for each in world.told if each.first_step] == []
    assert ("Attempt", 1, 5 * 3600, "") in world.passed()


def test_an_attempt_that_nobody_wrote_down_before_it_ended_has_taken_no_time() -> None:
    world = Recording()
    world.settle()
    world.make_pods()
    world.end(world.pods()[0])
    world.reconcile(crash_after=1)
    world.make_pods()
    world.now += timedelta(hours=1)
    world.end(world.pods()[0], 1, "an error")
    world.settle()
    assert [each for each in world.passed() if each[0] == "Attempt"] == [
        ("Attempt", 1, 0, "TrainerFailed")
    ]


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_clock_that_jumps_makes_no_time_negative(hours: int) -> None:
    world = Recording()
    world.to_training()
    world.now += timedelta(hours=hours)
    world.finish_well()
    assert world.passed()
    assert all(seconds >= 0 for _, _, seconds, _ in world.passed())


def told_once(world: Recording, began: datetime) -> None:
    """What must hold of any life that has come to its end."""
    status = world.job.status
    attempts = [each for each in passed(world) if each.stage is Stage.ATTEMPT]
    numbers = [each.attempt for each in attempts]
    assert numbers == sorted(set(numbers)), "an attempt was told twice"
    assert all(each.seconds >= 0 for each in passed(world))
    for earlier, later in itertools.pairwise(attempts):
        assert later.began >= earlier.ended, "two attempts at a time"
    total = sum(each.seconds for each in attempts)
    assert total <= (world.now - began).total_seconds()
    counts = {stage: [each.stage for each in passed(world)].count(stage) for stage in Stage}
    for once in (Stage.PREPARE, Stage.PUBLISH):
        assert counts[once] <= 1
    if status.phase == "Succeeded":
        assert counts[Stage.PREPARE] == counts[Stage.PUBLISH] == 1
        assert attempts[-1].reason == ""
    if status.phase in ("Succeeded", "Failed"):
        assert [each.finished for each in world.told if each.finished] != []
    assert len([each for each in world.told if each.finished]) <= 1
    assert len([each for each in world.told if each.first_step]) <= 1
    assert tell(status, status, began) == Told(), "nothing is new, and something is told"


def passed(world: Recording) -> list[Passed]:
    return [each for told in world.told for each in told.passed]


class ToldLife(Life):
    """Whatever happens, wherever the operator dies: what is written is told once."""

    def __init__(self) -> None:
        super().__init__()
        self.world: Recording = Recording(self.new_job())
        self.world.finetune_class = self.its_class

    def teardown(self) -> None:
        super().teardown()
        told_once(self.world, START)


class ToldLifeOnGivenNodes(LifeOnGivenNodes):
    def __init__(self) -> None:
        super().__init__()
        self.world: Recording = Recording(self.new_job())
        self.world.finetune_class = self.its_class

    def teardown(self) -> None:
        super().teardown()
        told_once(self.world, START)


SETTINGS = settings(
    max_examples=60,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestToldLife = ToldLife.TestCase
TestToldLife.settings = SETTINGS
TestToldLifeOnGivenNodes = ToldLifeOnGivenNodes.TestCase
TestToldLifeOnGivenNodes.settings = SETTINGS
