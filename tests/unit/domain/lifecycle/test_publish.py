"""What becomes of a result."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from finetune_operator.api.conditions import ConditionType
from finetune_operator.api.fine_tune_job_status import Phase
from finetune_operator.api.reason import Reason
from finetune_operator.domain.conditions import find
from finetune_operator.domain.lifecycle import Surroundings, decide
from finetune_operator.domain.publication import Publication
from finetune_trainer.manifest import (
    TERMINATION_MESSAGE_LIMIT,
    ArtifactKind,
    Published,
    Pushed,
)
from tests.cluster.simulation import trainer
from tests.unit.domain.in_memory import InMemory, job
from tests.unit.domain.lifecycle.looks import condition, phase, train_jobs


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
