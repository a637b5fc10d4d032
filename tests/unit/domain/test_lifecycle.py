"""A job's life, a case for each turn it can take."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from finetune_operator.api.conditions import ConditionType, Reason
from finetune_operator.api.fine_tune_class import FineTuneClass
from finetune_operator.api.fine_tune_job_status import Phase
from finetune_operator.domain.actions import Apply, Delete
from finetune_operator.domain.conditions import find
from finetune_operator.domain.lifecycle import Surroundings, decide, refused
from finetune_operator.domain.observed import Line
from finetune_operator.domain.publication import Publication
from finetune_trainer.manifest import (
    TERMINATION_MESSAGE_LIMIT,
    ArtifactKind,
    Progress,
    Published,
    Pushed,
    Stage,
)
from tests.cluster.simulation import trainer
from tests.unit.domain.in_memory import InMemory, job


def phase(world: InMemory) -> Phase | None:
    return world.job.status.phase


def condition(world: InMemory, kind: ConditionType) -> tuple[str, str, str]:
    found = find(world.job.status.conditions, kind)
    assert found is not None, f"{kind} was never set"
    return found.status, found.reason, found.message


def train_jobs(world: InMemory) -> list[str]:
    return [name for kind, name in world.created if kind == "Job" and "-train-" in name]


def test_all_goes_well() -> None:
    world = InMemory()
    world.finish_well()
    status = world.job.status
    assert status.phase is Phase.SUCCEEDED
    assert [name for kind, name in world.created if kind == "Job"] == [
        "chat-prepare-1",
        "chat-train-1",
        "chat-publish-1",
    ]
    assert status.evaluation is not None
    assert (status.evaluation.base["Loss"], status.evaluation.tuned["Loss"]) == ("1.84", "1.12")
    assert status.progress is not None
    assert (status.progress.steps, status.progress.percentage) == ("300/300", 100)
    assert status.resolved is not None
    assert status.resolved.model_revision == "a" * 40
    assert status.observed_generation == 1
    assert condition(world, ConditionType.RECONCILING)[0] == "False"
    assert condition(world, ConditionType.STALLED)[0] == "False"


def test_every_image_that_was_pushed_is_an_artifact(monkeypatch: pytest.MonkeyPatch) -> None:
    once = Published.model_validate_json(trainer.PUBLISHED)
    kinds = [kind for kind in ArtifactKind if kind is not ArtifactKind.MODEL]
    digests = [f"sha256:{at:064}" for at in range(len(kinds))]
    images = [
        Pushed(kind=kind, digest=digest, bytes=10**12)
        for kind, digest in zip(kinds, digests, strict=True)
    ]
    longest = "oci://" + "r" * 506
    said = once.model_copy(update={"repository": longest, "images": images}).model_dump_json()
    assert len(said) < TERMINATION_MESSAGE_LIMIT
    monkeypatch.setattr(trainer, "PUBLISHED", said)
    world = InMemory()
    world.finish_well()
    status = world.job.status
    assert status.phase is Phase.SUCCEEDED
    assert [each.kind for each in status.artifacts] == kinds
    assert [each.uri for each in status.artifacts] == [f"{longest}@{each}" for each in digests]
    message = condition(world, ConditionType.PUBLISHED)[2]
    assert message.endswith(f"@{digests[0]} and 6 more, see status.artifacts")


REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any], Reason, str]] = {
    "too many nodes": (
        {"maxNodes": 1},
        {"compute": {"nodes": 2}},
        Reason.NOT_ALLOWED,
        "compute.nodes is 2",
    ),
    "a registry that is not allowed": (
        {"registries": ["registry.example.com", "*.azurecr.io"]},
        {},
        Reason.NOT_ALLOWED,
        "output.storageUri is oci://registry.local:5000/simulated:v1",
    ),
    "a combination that cannot work": (
        {},
        {
            "task": "Completion",
            "dataset": {**job().to_dict()["spec"]["dataset"], "format": "Alpaca"},
        },
        Reason.CONFIGURATION_ERROR,
        "Alpaca",
    ),
}


@pytest.mark.parametrize(("allowed", "spec", "reason", "said"), REFUSED.values(), ids=REFUSED)
def test_refused_when_applied(
    allowed: dict[str, Any], spec: dict[str, Any], reason: Reason, said: str
) -> None:
    world = InMemory(job(**spec))
    assert world.finetune_class is not None
    its_class = world.finetune_class.to_dict()
    its_class["spec"]["allowed"] = allowed
    world.finetune_class = FineTuneClass.from_stored(its_class)
    world.settle()
    status, why, message = condition(world, ConditionType.ACCEPTED)
    assert (status, why) == ("False", reason)
    assert said in message
    assert condition(world, ConditionType.STALLED)[0] == "True"
    assert world.objects == {}


@pytest.mark.parametrize("registry", ["registry.local:5000", "registry.local*", "*:5000/sim*"])
def test_a_registry_is_allowed_by_pattern(registry: str) -> None:
    world = InMemory()
    assert world.finetune_class is not None
    its_class = world.finetune_class.to_dict()
    its_class["spec"]["allowed"] = {"registries": [registry]}
    world.finetune_class = FineTuneClass.from_stored(its_class)
    world.settle()
    assert condition(world, ConditionType.ACCEPTED)[0] == "True"


def test_several_nodes_need_a_volume_that_they_share() -> None:
    world = InMemory(job(compute={"nodes": 2}))
    world.storage_is_shared = False
    world.settle()
    assert condition(world, ConditionType.ACCEPTED)[1] == Reason.VOLUME_NOT_SHARED
    world.storage_is_shared = None
    world.settle()
    assert condition(world, ConditionType.ACCEPTED)[0] == "True"
    assert ("Service", "chat-train") in world.created


def test_a_class_that_appears_is_noticed() -> None:
    world = InMemory()
    world.finetune_class, its_class = None, world.finetune_class
    world.settle()
    assert condition(world, ConditionType.ACCEPTED)[1] == Reason.CLASS_NOT_FOUND
    world.finetune_class = its_class
    world.settle()
    assert condition(world, ConditionType.ACCEPTED)[0] == "True"
    assert condition(world, ConditionType.STALLED)[0] == "False"


def test_a_terminal_error_ends_the_job_at_once_with_the_trainers_words() -> None:
    world = InMemory()
    world.settle()
    world.make_pods()
    [pod] = world.pods()
    world.run(pod)
    world.end(pod, 11, '{"reason": "DataError", "message": "line 17 of train.jsonl: not JSON"}')
    world.settle()
    assert phase(world) is Phase.FAILED
    for kind in (ConditionType.FAILED, ConditionType.STALLED):
        assert condition(world, kind) == (
            "True",
            Reason.DATA_ERROR,
            "line 17 of train.jsonl: not JSON",
        )
    assert train_jobs(world) == []


def test_failures_are_counted_and_bounded() -> None:
    world = InMemory(job(restarts={"limit": 2}))
    for _ in range(3):
        world.end(world.to_training(), 1, "RuntimeError")
        world.settle()
        world.now += timedelta(minutes=10)
    assert phase(world) is Phase.FAILED
    assert condition(world, ConditionType.FAILED)[1] == Reason.RESTART_LIMIT_REACHED
    assert "RuntimeError" in condition(world, ConditionType.FAILED)[2]
    assert train_jobs(world) == ["chat-train-1", "chat-train-2", "chat-train-3"]


@pytest.mark.parametrize("how", ["preempted", "evicted", "deleted", "job deleted"])
def test_disruptions_are_free(how: str) -> None:
    world = InMemory(job(restarts={"limit": 0}))
    for _ in range(3):
        pod = world.to_training()
        if how == "evicted":
            world.evict(pod)
        elif how == "deleted":
            world.delete("Pod", pod["metadata"]["name"])
        elif how == "job deleted":
            world.delete("Job", world.all("Job")[-1]["metadata"]["name"])
        world.end(pod, 13)
        world.settle()
    attempts = world.job.status.attempts
    assert attempts is not None
    assert (attempts.failures, attempts.disruptions) == (0, 3)
    world.finish_well()
    assert phase(world) is Phase.SUCCEEDED


def test_no_attempt_starts_while_a_pod_of_the_last_may_still_write() -> None:
    world = InMemory()
    pod = world.to_training()
    world.delete("Job", "chat-train-1")
    world.settle()
    assert train_jobs(world) == ["chat-train-1"]
    world.now += timedelta(hours=1)
    world.settle()
    assert train_jobs(world) == ["chat-train-1"], "its node answers: the kubelet will end it"
    world.end(pod, 13)
    world.settle()
    assert train_jobs(world) == ["chat-train-1", "chat-train-2"]


def test_a_node_that_does_not_answer_is_not_waited_for_for_ever() -> None:
    world = InMemory()
    pod = world.to_training()
    world.evict(pod)
    world.lost_nodes = frozenset({"n"})
    world.settle()
    assert condition(world, ConditionType.RECONCILING)[1] == Reason.NODE_LOST
    assert train_jobs(world) == ["chat-train-1"]
    world.now += timedelta(seconds=31)
    world.settle()
    assert train_jobs(world) == ["chat-train-1", "chat-train-2"]
    attempts = world.job.status.attempts
    assert attempts is not None
    assert (attempts.failures, attempts.disruptions) == (0, 1)


def edit(world: InMemory, **spec: Any) -> None:
    stored = world.job.to_dict()
    stored["spec"] |= spec
    stored["metadata"]["generation"] += 1
    world.job = type(world.job).from_stored(stored)


def test_suspend_and_resume() -> None:
    world = InMemory()
    pod = world.to_training()
    edit(world, suspend=True)
    world.settle()
    assert phase(world) is not Phase.SUSPENDED, "a checkpoint is being saved"
    world.end(pod, 13)
    world.settle()
    assert phase(world) is Phase.SUSPENDED
    assert condition(world, ConditionType.SUSPENDED)[0] == "True"
    world.now += timedelta(days=1)
    assert world.reconcile().requeue_after is None
    edit(world, suspend=False)
    world.settle()
    assert train_jobs(world) == ["chat-train-1", "chat-train-2"]
    world.finish_well()
    assert phase(world) is Phase.SUCCEEDED


def test_suspended_from_the_start_and_edited_meanwhile() -> None:
    world = InMemory(job(suspend=True))
    world.settle()
    assert phase(world) is Phase.SUSPENDED
    first = world.job.status.resolved
    edit(world, training={"seed": 7, "maxLength": 128, "tokensPerBatch": 512})
    world.now += timedelta(seconds=2)
    world.settle()
    assert world.job.status.resolved != first
    edit(world, suspend=False)
    world.finish_well()
    assert phase(world) is Phase.SUCCEEDED


def test_cleaning_up_takes_everything_but_the_job() -> None:
    world = InMemory(job(cleanupAfterSeconds=600))
    world.finish_well()
    decision = world.reconcile()
    assert decision.actions == ()
    assert decision.requeue_after == pytest.approx(600, abs=61)
    world.now += timedelta(seconds=601)
    world.settle()
    assert world.objects == {}
    assert world.reconcile().actions == ()


def test_a_registry_that_is_down_is_waited_for_without_a_trainer() -> None:
    world = InMemory(job(restarts={"limit": 0}))
    world.end(world.to_training())
    for number in range(1, 6):
        world.settle()
        world.make_pods()
        [pod] = world.pods()
        assert pod["metadata"]["name"].startswith(f"chat-publish-{number}-")
        world.run(pod)
        world.end(pod, 17, '{"reason": "Unavailable", "message": "registry does not answer"}')
        world.settle()
        assert world.pods() == []
        assert condition(world, ConditionType.RECONCILING)[1] == Reason.UNAVAILABLE
        world.now += timedelta(minutes=6)
    world.finish_well()
    assert phase(world) is Phase.SUCCEEDED
    assert train_jobs(world) == ["chat-train-1"]


def test_a_result_that_is_lost_with_its_pod_is_said_again() -> None:
    world = InMemory()
    pod = world.to_training()
    world.end(pod)
    world.objects.pop(("Pod", pod["metadata"]["name"]))
    world.finish_well()
    assert world.job.status.evaluation is not None


def test_results_on_examples_that_were_learned_are_marked() -> None:
    world = InMemory()
    said = json.loads(trainer.TRAINED)
    said["evaluation"]["warning"] = "3 held-out examples are in dataset.train too"
    world.end(world.to_training(), message=json.dumps(said))
    world.finish_well()
    assert condition(world, ConditionType.EVALUATED) == (
        "True",
        "HeldOutLearned",
        "3 held-out examples are in dataset.train too",
    )


def test_whole_jobs_wait_for_their_turn() -> None:
    world = InMemory(job(compute={"nodes": 2, "device": "CPU"}))
    world.line = Line(starting=("other/job",))
    world.settle()
    world.make_pods()
    [pod] = world.pods()
    world.run(pod)
    world.end(pod)
    world.settle()
    assert condition(world, ConditionType.ADMITTED)[:2] == ("False", Reason.WAITING_FOR_TURN)
    assert "other/job" in condition(world, ConditionType.ADMITTED)[2]
    assert train_jobs(world) == []
    world.line = Line()
    world.settle()
    assert train_jobs(world) == ["chat-train-1"]


def test_half_a_job_gives_its_turn_back_when_others_wait() -> None:
    world = InMemory(job(compute={"nodes": 2, "device": "CPU"}))
    world.to_training()
    placed, waiting = world.pods()
    waiting["spec"].pop("nodeName", None)
    waiting["status"] = {"phase": "Pending"}
    world.now += timedelta(seconds=61)
    assert world.reconcile().actions == (), "nobody else needs the nodes"
    world.line = Line(waiting=("other/job",))
    world.reconcile()
    world.end(placed, 13)
    world.line = Line(ahead=("other/job",), waiting=("other/job",))
    world.settle()
    assert train_jobs(world) == ["chat-train-1"]
    attempts = world.job.status.attempts
    assert attempts is not None
    assert (attempts.failures, attempts.disruptions) == (0, 1)


def report(step: int, attempt: int = 1, stage: Stage = Stage.TRAINING) -> Progress:
    return Progress(
        attempt=attempt,
        stage=stage,
        step=step,
        total_steps=1800,
        loss=1.3123,
        learning_rate=1.9e-4,
        tokens_per_second=15100.4,
        remaining_seconds=5880,
    )


def test_progress_is_shown_but_not_too_often() -> None:
    world = InMemory()
    world.to_training()
    world.now += timedelta(seconds=11)
    world.progress = report(420)
    world.settle()
    shown = world.job.status.progress
    assert shown is not None
    assert (shown.steps, shown.percentage, shown.loss) == ("420/1800", 23, "1.312")
    assert (shown.remaining, shown.tokens_per_second) == ("1h38m", 15100)
    world.now += timedelta(seconds=4)
    world.progress = report(430)
    decision = world.reconcile()
    assert world.job.status.progress == shown
    assert decision.requeue_after == 6
    world.now += timedelta(seconds=6)
    world.reconcile()
    assert world.job.status.progress is not None
    assert world.job.status.progress.step == 430


@pytest.mark.parametrize("code", [1, 11, 13])
def test_no_time_is_promised_when_nothing_trains(code: int) -> None:
    world = InMemory()
    pod = world.to_training()
    world.now += timedelta(seconds=11)
    world.progress = report(420)
    world.settle()
    world.end(pod, code)
    world.settle()
    shown = world.job.status.progress
    assert shown is not None
    assert (shown.steps, shown.remaining) == ("420/1800", None)


@pytest.mark.parametrize("late", [report(1000, attempt=2), report(0, stage=Stage.LOADING)])
def test_progress_of_another_attempt_or_of_loading_is_not_shown(late: Progress) -> None:
    world = InMemory()
    world.to_training()
    world.now += timedelta(seconds=60)
    world.progress = late
    world.settle()
    assert world.job.status.progress is not None
    assert world.job.status.progress.steps == "0/300"


def test_a_volume_that_was_taken_away_ends_the_job_and_its_pods() -> None:
    world = InMemory()
    world.to_training()
    world.objects.pop(("PersistentVolumeClaim", "chat"))
    world.settle()
    assert condition(world, ConditionType.FAILED)[1] == Reason.VOLUME_MISSING
    assert all("deletionTimestamp" in pod["metadata"] for pod in world.pods())


def test_the_recipe_is_made_again_as_it_was() -> None:
    world = InMemory()
    world.to_training()
    before = world.objects.pop(("ConfigMap", "chat-recipe"))
    edit(world, cleanupAfterSeconds=5)
    world.settle()
    assert world.objects["ConfigMap", "chat-recipe"]["data"] == before["data"]


def test_publication_decides_about_success() -> None:
    publish = {"type": "Workspace", "workspace": {"name": "support"}}
    world = InMemory(job(publish=publish))
    world.end(world.to_training())
    world.settle()
    world.make_pods()
    [pod] = world.pods()
    world.run(pod)
    world.end(pod)
    world.reconcile()
    seen = world.observe()
    waits = Publication(done=False, reason=Reason.ROLLING_OUT, message="pods start", revision="r-1")
    around = Surroundings(now=world.now)

    def publishing(publication: Publication) -> Any:
        with_it = type(seen)(
            **{name: getattr(seen, name) for name in seen.__slots__} | {"publication": publication}
        )
        return decide(world.job, with_it, around)

    decision = publishing(waits)
    assert decision.status.phase is Phase.PUBLISHING
    assert decision.status.published.revision == "r-1"
    stalled = Publication(False, Reason.KAITO_MISSING, "install KAITO", stalled=True)
    decision = publishing(stalled)
    true = {each.type for each in decision.status.conditions if each.status == "True"}
    assert "Stalled" in true and "Reconciling" not in true and "Failed" not in true
    assert decision.status.phase is Phase.PUBLISHING
    assert decision.requeue_after is not None
    done = Publication(done=True, reason=Reason.PUBLISHED, message="answers", revision="r-1")
    assert publishing(done).status.phase is Phase.SUCCEEDED


@pytest.mark.parametrize(
    ("message", "for_good", "phase", "reason"),
    [
        ("exceeded quota: team", False, Phase.PENDING, Reason.QUOTA_EXCEEDED),
        ("denied by policy", False, Phase.PENDING, Reason.PODS_FORBIDDEN),
        ("Invalid value: cpu", True, Phase.PENDING, Reason.PODS_FORBIDDEN),
    ],
)
def test_children_that_the_api_server_refuses(
    message: str, for_good: bool, phase: Phase, reason: Reason
) -> None:
    world = InMemory()
    around = Surroundings(now=world.now)
    decision = refused(world.job, world.observe(), around, message, for_good=for_good)
    assert decision.status.phase is phase
    found = find(decision.status.conditions, ConditionType.RECONCILING)
    assert found is not None
    assert (found.status, found.reason) == ("False" if for_good else "True", reason)
    assert message in found.message


def test_an_accepted_job_whose_pods_are_not_valid_fails() -> None:
    world = InMemory()
    world.to_training()
    around = Surroundings(now=world.now)
    decision = refused(world.job, world.observe(), around, "Invalid value", for_good=True)
    assert decision.status.phase is Phase.FAILED


def test_actions_are_only_of_two_kinds() -> None:
    """What InMemory does not carry out would go unnoticed by all tests above."""
    world = InMemory()
    world.finish_well()
    assert all(isinstance(action, Apply | Delete) for action in world.decide().actions)


@pytest.mark.parametrize("publish", [{"type": "None"}, {"type": "Workspace"}])
def test_a_gate_that_does_not_hold_keeps_the_artifact_and_publishes_nothing(
    publish: dict[str, Any],
) -> None:
    gates = [{"metric": "Loss", "maximum": "1.2"}, {"metric": "Loss", "minimumGain": "0.9"}]
    world = InMemory(job(evaluation={"gates": gates}, publish=publish))
    world.finish_well()
    said = "Loss gained 0.72 (from 1.84 to 1.12), less than the minimum of 0.9"
    assert condition(world, ConditionType.TRAINED)[0] == "True"
    assert condition(world, ConditionType.EVALUATED) == ("False", Reason.GATE_FAILED, said)
    uri = world.job.status.artifacts[0].uri
    kept = f"{said}: nothing is published; the artifact is kept as {uri}"
    for kind, holds in ((ConditionType.PUBLISHED, "False"), (ConditionType.FAILED, "True")):
        assert condition(world, kind) == (holds, Reason.GATE_FAILED, kept)
    assert find(world.job.status.conditions, ConditionType.SUCCEEDED) is None
    assert condition(world, ConditionType.STALLED)[0] == "True"
    assert phase(world) is Phase.FAILED
    assert world.job.status.evaluation is not None
    assert world.job.status.evaluation.gates_passed is False
    assert world.job.status.published is None


def test_gates_that_hold_are_in_nobodys_way() -> None:
    world = InMemory(job(evaluation={"gates": [{"metric": "Loss", "maximum": "1.12"}]}))
    world.finish_well()
    assert phase(world) is Phase.SUCCEEDED
    assert world.job.status.evaluation is not None
    assert world.job.status.evaluation.gates_passed is True
