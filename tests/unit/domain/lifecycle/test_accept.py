"""What is refused before anything runs, and what is waited for."""

from __future__ import annotations

from typing import Any

import pytest

from finetune_operator.api.conditions import ConditionType
from finetune_operator.api.fine_tune_class import FineTuneClass
from finetune_operator.api.fine_tune_job_status import Phase
from finetune_operator.api.reason import Reason
from finetune_operator.domain.conditions import find
from finetune_operator.domain.lifecycle import Surroundings, refused
from finetune_operator.domain.views import view_model_cache
from tests.unit.domain.histories.world import Recorded
from tests.unit.domain.in_memory import InMemory, job
from tests.unit.domain.lifecycle.looks import condition

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


@pytest.mark.parametrize(
    ("claim", "used", "said"),
    [
        ({"accessModes": ["ReadWriteMany"]}, "models", ""),
        ({"accessModes": ["ReadWriteOnce"]}, None, "is not ReadWriteMany (ReadWriteOnce)"),
        (None, None, "Without the model cache: the namespace has no volume claim models."),
    ],
)
def test_the_model_cache_is_fixed_with_the_rest(
    claim: dict[str, Any] | None, used: str | None, said: str
) -> None:
    world = Recorded(job())
    found = view_model_cache("models", {"spec": claim} if claim else None)
    world.also_seen = {"model_cache": found}
    world.settle()
    assert world.job.status.resolved is not None
    assert world.job.status.resolved.model_cache == used
    assert said in condition(world, ConditionType.ACCEPTED)[2]
    mounted = "model-cache" in str(world.objects["Job", "chat-prepare-1"])
    assert mounted == (used is not None)


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
