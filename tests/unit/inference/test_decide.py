"""What the controller does and reports, looked at again and again."""

import json
from dataclasses import replace
from typing import Any

import pytest

from finetune_operator.api.conditions import Condition
from finetune_operator.api.inference_workspace import InferenceWorkspaceStatus
from finetune_operator.api.reason import Reason
from finetune_operator.domain.actions import Apply, JsonObject
from finetune_operator.domain.inference.decide import Decision, decide
from finetune_operator.domain.inference.observed import has_image_volumes
from finetune_operator.domain.observed import Container, Notice
from tests.unit.inference.builders import (
    NOW,
    OTHER_BASE,
    UID,
    full_revision,
    revision,
    seen,
    traffic,
    workspace,
)
from tests.unit.inference.steps import WITHOUT_VLLM, carried_out, deleted, pod, rolled_out, settled


def condition(status: InferenceWorkspaceStatus, kind: str) -> Condition:
    return next(each for each in status.conditions if each.type == kind)


def applied(decision: Decision, kind: str) -> list[JsonObject]:
    manifests = [dict(each.manifest) for each in decision.actions if isinstance(each, Apply)]
    return [each for each in manifests if each["kind"] == kind]


def test_it_is_ready_only_when_every_pod_has_answered() -> None:
    first = seen()
    decision = decide(first, NOW)
    assert condition(decision.status, "Ready").status == "False"
    assert decision.status.revisions == ()
    after = rolled_out(carried_out(first, decision))
    ready = decide(after, NOW)
    assert condition(ready.status, "Ready").status == "True"
    assert [(each.name, each.percent) for each in ready.status.revisions] == [("support-0001", 100)]
    assert ready.status.endpoint == "http://support.ml.svc/v1"
    assert [event.reason for event in ready.events] == ["Serving"]


def test_a_repeat_does_nothing() -> None:
    world = settled(seen(workspace=workspace(replicas=2), revisions=(revision(1), revision(2))))
    again = decide(world, NOW)
    assert again.actions == ()
    assert again.status == world.workspace.status
    assert again.events == ()
    assert again.requeue_after is None


def test_what_somebody_changed_is_put_right() -> None:
    world = settled(seen())
    assert world.service is not None
    changed = json.loads(json.dumps(world.service))
    changed["spec"]["ports"][0]["port"] = 8080
    decision = decide(replace(world, service=changed), NOW)
    assert [each["kind"] for each in applied(decision, "Service")] == ["Service"]


def test_while_a_new_revision_rolls_out_the_old_ones_are_reported_to_answer() -> None:
    world = settled(seen())
    newer = replace(world, revisions=(*world.revisions, revision(2)))
    decision = decide(newer, NOW)
    assert len(applied(decision, "Deployment")) == 1
    assert [each.name for each in decision.status.revisions] == ["support-0001"]
    assert condition(decision.status, "Ready").reason == "RollingOut"
    assert condition(decision.status, "Available").status == "True"
    after = settled(newer)
    assert [each.name for each in after.workspace.status.revisions] == [
        "support-0002",
        "support-0001",
    ]
    assert len(after.config_maps) == 1


def test_the_history_goes_only_when_what_replaces_it_answers() -> None:
    world = settled(
        seen(workspace=workspace(revisionHistoryLimit=1), revisions=(revision(1), revision(2)))
    )
    newer = replace(world, revisions=(*world.revisions, revision(3)))
    assert deleted(decide(newer, NOW)) == set()
    assert [each.metadata.name for each in settled(newer).revisions] == [
        "support-0002",
        "support-0003",
    ]


def test_a_revision_over_another_base_model_is_refused_and_named() -> None:
    world = settled(seen())
    decision = decide(replace(world, revisions=(*world.revisions, revision(2, OTHER_BASE))), NOW)
    assert decision.actions == ()
    told = condition(decision.status, "RevisionsAccepted")
    assert (told.status, told.reason) == ("False", "OtherBaseModel")
    assert "support-0002 is over hf://Qwen" in told.message
    assert condition(decision.status, "Ready").status == "True"


REFUSED: dict[str, tuple[dict[str, Any], Reason, bool]] = {
    "nothing published": ({"revisions": ()}, Reason.NO_REVISION, False),
    "no class": ({"finetune_class": None}, Reason.CLASS_NOT_FOUND, True),
    "unknown revision": (
        {"workspace": workspace(traffic=traffic(n7=100))},
        Reason.REVISION_NOT_FOUND,
        True,
    ),
    "no vLLM image": (
        {"workspace": workspace(runtime="VLLM"), "finetune_class": WITHOUT_VLLM},
        Reason.RUNTIME_UNAVAILABLE,
        True,
    ),
    "an adapter that vLLM does not load": (
        {"workspace": workspace(runtime="VLLM"), "revisions": (revision(1, method="DoRA"),)},
        Reason.RUNTIME_UNAVAILABLE,
        True,
    ),
    "adapters of two kinds": (
        {"revisions": (revision(1), revision(2, method="IA3"))},
        Reason.RUNTIME_UNAVAILABLE,
        True,
    ),
    "foreign Service": (
        {"service": {"kind": "Service", "metadata": {"name": "support", "uid": "x"}}},
        Reason.NAME_TAKEN,
        True,
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_served_says_what_to_do_and_touches_nothing(case: str) -> None:
    given, reason, stalled = REFUSED[case]
    decision = decide(seen(**given), NOW)
    assert decision.actions == ()
    ready = condition(decision.status, "Ready")
    assert (ready.status, ready.reason) == ("False", reason.value)
    assert len(ready.message) > 40
    assert (condition(decision.status, "Stalled").status == "True") is stalled
    assert (condition(decision.status, "Reconciling").status == "True") is not stalled


def test_traffic_to_nowhere_leaves_what_answers_alone() -> None:
    world = settled(seen())
    broken = world.workspace.model_copy(update={"spec": workspace(traffic=traffic(n7=100)).spec})
    decision = decide(replace(world, workspace=broken), NOW)
    assert decision.actions == ()
    assert [each.name for each in decision.status.revisions] == ["support-0001"]
    assert condition(decision.status, "Available").status == "True"


def test_auto_chooses_once() -> None:
    with_gpu = decide(seen(has_gpu_nodes=True), NOW)
    label = applied(with_gpu, "Deployment")[0]["metadata"]["labels"]["finetune.dev/runtime"]
    assert label == "VLLM"
    world = settled(seen(has_gpu_nodes=True))
    assert decide(replace(world, has_gpu_nodes=False), NOW).actions == ()


@pytest.mark.parametrize("method", ["DoRA", "IA3", "VeRA", "PromptTuning"])
def test_auto_takes_the_runtime_that_loads_the_adapter(method: str) -> None:
    world = seen(has_gpu_nodes=True, revisions=(revision(1, method=method, rank=None),))
    label = applied(decide(world, NOW), "Deployment")[0]["metadata"]["labels"]
    assert label["finetune.dev/runtime"] == "Transformers"
    # Where vLLM answers already, it is not taken away from those who use it.
    running = settled(seen(has_gpu_nodes=True))
    later = replace(running, revisions=(*running.revisions, revision(2, method=method)))
    refused = decide(later, NOW)
    assert refused.actions == ()
    assert "support-0002" in condition(refused.status, "Ready").message


def test_no_pod_is_wanted() -> None:
    world = settled(seen(workspace=workspace(replicas=0)))
    decision = decide(world, NOW)
    for kind, status in (("Ready", "True"), ("Available", "False"), ("Reconciling", "False")):
        told = condition(decision.status, kind)
        assert told.status == status
        assert told.reason in ("SwitchedOff", "Finished")
    assert decision.status.revisions == ()
    assert decision.requeue_after is None


def test_a_disruption_budget_goes_with_the_second_replica() -> None:
    world = settled(seen(workspace=workspace(replicas=2)))
    assert world.disruption_budget is not None
    one = world.workspace.model_copy(update={"spec": workspace(replicas=1).spec})
    assert settled(replace(world, workspace=one)).disruption_budget is None


WAITING: dict[str, tuple[dict[str, Any], str]] = {
    "no node": (
        {"pods": (pod(unschedulable="0/2 nodes are available: Insufficient memory."),)},
        "Insufficient memory",
    ),
    "no image": (
        {
            "pods": (
                pod(
                    node="a",
                    containers=(
                        Container(
                            "fetch-model",
                            waiting_reason="ErrImagePull",
                            waiting_message="registry.example.com: not found",
                        ),
                    ),
                ),
            )
        },
        "not found",
    ),
    "what a container said before it was started again": (
        {
            "pods": (
                pod(
                    node="a",
                    containers=(
                        Container(
                            "fetch-model",
                            running=True,
                            previous=Container(
                                "fetch-model",
                                exit_code=18,
                                message='{"reason": "CredentialsRefused", "message": "fix Secret"}',
                            ),
                        ),
                    ),
                ),
            )
        },
        "container fetch-model of pod support-1: fix Secret",
    ),
    "too little memory": (
        {
            "pods": (
                pod(
                    node="a",
                    containers=(Container("server", exit_code=137, end_reason="OOMKilled"),),
                ),
            )
        },
        "raise spec.podTemplate.resources.limits.memory",
    ),
    "quota": (
        {
            "replica_sets": (
                {"metadata": {"uid": "rs"}, "spec": {"replicas": 1}, "status": {"replicas": 0}},
            ),
            "notices": (Notice("rs", "FailedCreate", "exceeded quota: memory"),),
        },
        "exceeded quota",
    ),
}


@pytest.mark.parametrize("case", WAITING)
def test_waiting_is_explained(case: str) -> None:
    given, told = WAITING[case]
    world = carried_out(seen(), decide(seen(), NOW))
    decision = decide(replace(world, **given), NOW)
    assert told in condition(decision.status, "Ready").message
    assert decision.requeue_after is not None


def test_full_fine_tunes_follow_each_other() -> None:
    world = settled(seen(revisions=(full_revision(1),)))
    newer = settled(replace(world, revisions=(*world.revisions, full_revision(2))))
    assert [each.name for each in newer.workspace.status.revisions] == ["support-0002"]


def test_children_belong_to_the_workspace() -> None:
    for action in decide(seen(workspace=workspace(replicas=2)), NOW).actions:
        assert isinstance(action, Apply)
        owner = action.manifest["metadata"]["ownerReferences"][0]
        assert (owner["uid"], owner["controller"]) == (UID, True)


@pytest.mark.parametrize(
    ("setting", "version", "expected"),
    [
        ("Auto", (1, 36), True),
        ("Auto", (1, 35), False),
        ("Enabled", (1, 33), True),
        ("Disabled", (1, 37), False),
    ],
)
def test_image_volumes(setting: Any, version: tuple[int, int], expected: bool) -> None:
    assert has_image_volumes(setting, version) is expected
