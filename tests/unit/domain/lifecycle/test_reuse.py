"""The same result is not paid for twice, and no job is lost over that."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from finetune_operator.api.conditions import ConditionType
from finetune_operator.api.fine_tune_class import FineTuneClass
from finetune_operator.api.fine_tune_job_status import Phase
from finetune_operator.api.reason import Reason
from finetune_operator.domain.actions import Event
from finetune_operator.domain.readiness import is_ready
from finetune_trainer.exit_codes import ExitCode
from finetune_trainer.manifest import Looked, Published
from tests.cluster.simulation import trainer
from tests.unit.domain.in_memory import CLAIMING, InMemory, Object, job
from tests.unit.domain.lifecycle.looks import condition, edit, phase, train_jobs

IMAGE = "registry/trainer@sha256:" + "1" * 64
EARLIER = Published.model_validate_json(trainer.PUBLISHED)
FOUND = Looked(found=EARLIER, job="team/earlier").model_dump_json()


class World(InMemory):
    """Whose trainer image is known by its digest; every event is kept."""

    def __init__(self, its_class: FineTuneClass | None = None, **spec: Any) -> None:
        super().__init__(job(**spec))
        stored = (its_class or self.finetune_class or CLAIMING).to_dict()
        stored["spec"] |= {"images": {"trainer": IMAGE}}
        self.finetune_class = FineTuneClass.from_stored(stored)
        self.events: list[Event] = []

    def reconcile(self, crash_after: int | None = None) -> Any:
        decision = super().reconcile(crash_after)
        self.events += decision.events
        return decision

    def to_looking(self) -> Object:
        """Goes on until the pod that looks runs."""
        for _ in range(3):
            self.settle()
            self.make_pods()
            for pod in self.pods():
                self.run(pod)
                if trainer.attempt_of(pod)[1] == "reuse":
                    return pod
                self.end(pod)
        raise AssertionError(f"it does not look: {self.job.status}")

    def made(self) -> list[str]:
        return [name for kind, name in self.created if kind == "Job"]

    def told(self, reason: Reason) -> list[Event]:
        return [each for each in self.events if each.reason == reason]


def test_an_earlier_result_is_taken_and_nothing_is_trained() -> None:
    world = World()
    world.end(world.to_looking(), message=FOUND)
    world.finish_well()
    status = world.job.status
    assert status.phase is Phase.SUCCEEDED
    assert world.made() == ["chat-prepare-1", "chat-reuse-1"]
    assert [each.uri for each in status.artifacts] == [EARLIER.uri(EARLIER.images[0])]
    said = f"the result of FineTuneJob team/earlier is used again: {status.artifacts[0].uri}"
    assert condition(world, ConditionType.TRAINED) == ("True", Reason.REUSED, said)
    assert condition(world, ConditionType.EVALUATED)[0] == "True"
    assert condition(world, ConditionType.PUBLISHED)[0] == "True"
    assert status.evaluation is not None
    assert status.evaluation.tuned == {"Loss": "1.12"}
    assert status.progress is not None
    assert (status.progress.steps, status.progress.percentage) == ("300/300 (reused)", 100)
    assert status.attempts is None and status.cost is None and status.nodes is None
    assert [each.message for each in world.told(Reason.REUSED)] == [said]


def test_no_node_is_asked_for() -> None:
    world = World(CLAIMING, compute={"device": "CPU", "instanceTypes": ["large"]})
    world.end(world.to_looking(), message=FOUND)
    world.finish_well()
    assert phase(world) is Phase.SUCCEEDED
    assert [kind for kind, _ in world.created if kind == "NodeClaim"] == []
    assert world.job.metadata.finalizers == ()


def test_where_there_is_none_it_is_trained_and_recorded() -> None:
    world = World()
    looking = world.to_looking()
    key = argument(looking, "--result-key")
    assert key.startswith("sha256:")
    assert not is_ready(world.job.status), "it would keep others from training meanwhile"
    world.end(looking)
    world.settle()
    assert condition(world, ConditionType.TRAINED)[:2] == ("False", Reason.NOTHING_TO_REUSE)
    assert is_ready(world.job.status)
    world.finish_well()
    assert train_jobs(world) == ["chat-train-1"]
    [pushed] = [each for each in world.all("Pod") if trainer.attempt_of(each)[1] == "publish"]
    assert argument(pushed, "--result-key") == key
    assert condition(world, ConditionType.TRAINED)[:2] == ("True", Reason.TRAINED)


def argument(pod: Object, name: str) -> str:
    arguments = pod["spec"]["containers"][0]["args"]
    found: str = arguments[arguments.index(name) + 1]
    return found


def test_what_was_found_and_cannot_be_used_is_told() -> None:
    world = World()
    world.end(
        world.to_looking(), message=Looked(problem="config.json is another").model_dump_json()
    )
    world.finish_well()
    assert train_jobs(world) == ["chat-train-1"]
    [event] = world.told(Reason.NOT_REUSED)
    assert event == Event(Reason.NOT_REUSED, "it is trained: config.json is another", warning=True)


@pytest.mark.parametrize(
    ("code", "looks"),
    [
        (ExitCode.UNAVAILABLE, 3),
        (ExitCode.CREDENTIALS_REFUSED, 1),
        (ExitCode.CONFIGURATION_ERROR, 1),
        (ExitCode.OUT_OF_MEMORY, 1),
        (1, 3),
    ],
)
def test_whatever_keeps_it_from_looking_keeps_no_job_from_training(code: int, looks: int) -> None:
    world = World(restarts={"limit": 0})
    pod = world.to_looking()
    for number in range(1, looks + 1):
        world.end(pod, code, '{"reason": "Any", "message": "the registry says no"}')
        world.settle()
        if number < looks:
            assert condition(world, ConditionType.RECONCILING)[0] == "True"
            world.now += timedelta(seconds=10 * 2**number)
            pod = world.to_looking()
    status, reason, message = condition(world, ConditionType.TRAINED)
    assert (status, reason) == ("False", Reason.NOT_REUSED)
    assert "the registry says no" in message
    world.finish_well()
    assert phase(world) is Phase.SUCCEEDED
    assert train_jobs(world) == ["chat-train-1"]
    assert [name for name in world.made() if "-reuse-" in name] == [
        f"chat-reuse-{number}" for number in range(1, looks + 1)
    ]
    assert len(world.told(Reason.NOT_REUSED)) == 1


def test_what_a_pod_said_is_asked_again_where_it_is_lost() -> None:
    world = World()
    pod = world.to_looking()
    world.end(pod, message=FOUND)
    world.objects.pop(("Pod", pod["metadata"]["name"]))
    world.end(world.to_looking(), message=FOUND)
    world.finish_well()
    assert train_jobs(world) == []


def test_always_is_always() -> None:
    world = World(reusePolicy="Always")
    world.finish_well()
    assert [name for name in world.made() if "-reuse-" in name] == []
    assert train_jobs(world) == ["chat-train-1"]
    [pushed] = [each for each in world.all("Pod") if trainer.attempt_of(each)[1] == "publish"]
    assert argument(pushed, "--result-key"), "another job may use it"


def test_a_tag_of_the_trainer_image_is_not_enough() -> None:
    world = World()
    assert world.finetune_class is not None
    stored = world.finetune_class.to_dict()
    stored["spec"] |= {"images": {"trainer": "registry/trainer:1"}}
    world.finetune_class = FineTuneClass.from_stored(stored)
    world.finish_well()
    assert train_jobs(world) == ["chat-train-1"]
    [event] = world.told(Reason.NOT_REUSED)
    assert not event.warning
    assert "names the trainer image registry/trainer:1 by a tag" in event.message
    [pushed] = [each for each in world.all("Pod") if trainer.attempt_of(each)[1] == "publish"]
    assert "--result-key" not in pushed["spec"]["containers"][0]["args"]


def test_a_gate_is_judged_anew() -> None:
    world = World(evaluation={"gates": [{"metric": "Loss", "maximum": "1.0"}]})
    world.end(world.to_looking(), message=FOUND)
    world.finish_well()
    assert phase(world) is Phase.FAILED
    assert train_jobs(world) == []
    said = condition(world, ConditionType.FAILED)
    assert said[1] == Reason.GATE_FAILED
    assert "the artifact is kept as" in said[2]


def test_a_job_whose_training_had_begun_looks_for_nothing() -> None:
    """An operator of before, which looked for nothing, was replaced amid training."""
    world = World()
    world.end(world.to_looking())
    world.to_training()
    kept = tuple(each for each in world.job.status.conditions if each.type != "Trained")
    status = world.job.status.model_copy(update={"conditions": kept})
    world.job = world.job.model_copy(update={"status": status})
    world.objects = {key: each for key, each in world.objects.items() if "-reuse-" not in key[1]}
    assert is_ready(world.job.status)
    world.finish_well()
    assert world.made().count("chat-reuse-1") == 1
    assert phase(world) is Phase.SUCCEEDED


def test_a_suspended_job_looks_when_it_goes_on() -> None:
    world = World()
    pod = world.to_looking()
    edit(world, suspend=True)
    world.settle()
    world.end(pod, 143)
    world.settle()
    assert phase(world) is Phase.SUSPENDED
    edit(world, suspend=False)
    world.end(world.to_looking(), message=FOUND)
    world.finish_well()
    assert train_jobs(world) == []


def test_a_result_that_nobody_will_find_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    said = EARLIER.model_copy(update={"unrecorded": "the registry takes no index"})
    monkeypatch.setattr(trainer, "PUBLISHED", said.model_dump_json())
    world = World()
    world.finish_well()
    assert phase(world) is Phase.SUCCEEDED
    [event] = world.told(Reason.NOT_REUSED)
    assert event.message == "no later job will find this result: the registry takes no index"
