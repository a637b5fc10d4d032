"""What the status says about how a job will be carried out, before any node is asked for."""

from __future__ import annotations

from typing import Any

import pytest

from finetune_operator.api.conditions import ConditionType
from finetune_operator.api.fine_tune_class import FineTuneClass
from finetune_operator.api.reason import Reason
from finetune_trainer.recipe import Recipe
from tests.unit.domain.in_memory import CLAIMING, InMemory, job
from tests.unit.domain.lifecycle.looks import condition

MEASURED = "Standard_ND96isr_H100_v5"


def claiming(*types: str, **spec: Any) -> InMemory:
    """A world whose class gets nodes with GPUs by NodeClaims."""
    world = InMemory(
        job(
            model={"storageUri": "hf://meta-llama/Llama-3.1-8B"},
            compute={"device": "GPU", "instanceTypes": list(types)},
            training={"maxLength": 4096, "tokensPerBatch": 32768},
            **spec,
        )
    )
    world.finetune_class = CLAIMING
    return world


def plan(world: InMemory) -> dict[str, Any]:
    assert world.job.status.plan is not None
    return world.job.status.plan.to_dict()


def test_the_plan_is_there_before_anything_is_fetched() -> None:
    world = claiming()
    world.settle()
    assert plan(world) == {
        "device": "GPU",
        "nodes": 1,
        "gpusPerNode": 1,
        "method": "LoRA",
        "strategy": "DataParallel",
        "instanceType": "Standard_NC24ads_A100_v4",
        "alternatives": ["Standard_NC40ads_H100_v5", "Standard_NV36ads_A10_v5"],
        "memoryPerGPU": "46Gi",
        "hourlyPrice": "3.673",
        "priceSource": "table 2026-06 eastus",
    }
    assert world.all("NodeClaim") == []


def test_time_and_cost_are_there_once_the_steps_are_counted() -> None:
    world = claiming(MEASURED)
    world.settle()
    assert "estimatedDurationSeconds" not in plan(world)
    world.to_training()
    # 300 steps of 1098 · 10¹² operations, at the 166 · 10¹² a second of the slowest that was seen.
    assert plan(world)["estimatedDurationSeconds"] == pytest.approx(1984, abs=3)
    assert plan(world)["estimatedCost"] == "54.19"


def test_a_job_that_no_machine_can_hold_is_refused_with_the_numbers() -> None:
    world = claiming("Standard_NC4as_T4_v3")
    world.settle()
    status, reason, message = condition(world, ConditionType.ACCEPTED)
    assert (status, reason) == ("False", Reason.CONFIGURATION_ERROR)
    assert message == (
        "Standard_NC4as_T4_v3 has 16.0 GiB per GPU, of which 14.7 GiB can be planned with, and"
        " 36.4 GiB are needed even with activations computed again. The smallest that fits:"
        " Standard_NV36ads_A10_v5 (24.0 GiB per GPU)"
    )
    assert world.objects == {}


def test_what_is_not_asked_for_is_said_where_others_will_do() -> None:
    world = claiming("Standard_NC4as_T4_v3", "Standard_NC24ads_A100_v4")
    world.settle()
    status, _, message = condition(world, ConditionType.ACCEPTED)
    assert status == "True"
    assert "Not asked for: Standard_NC4as_T4_v3 has 16.0 GiB per GPU" in message
    world.to_training()
    [claim] = world.all("NodeClaim")
    asked = {each["key"]: each["values"] for each in claim["spec"]["requirements"]}
    assert asked["node.kubernetes.io/instance-type"] == ["Standard_NC24ads_A100_v4"]


def test_a_recipe_that_was_taken_away_is_made_again_as_it_was() -> None:
    world = claiming()
    world.to_training()
    [stored] = world.all("ConfigMap")
    assert Recipe.model_validate_json(stored["data"]["recipe.json"]).compute.passes is None
    world.delete("ConfigMap", stored["metadata"]["name"])
    world.settle()
    [again] = world.all("ConfigMap")
    assert again["data"] == stored["data"]


@pytest.mark.parametrize(
    ("capacity", "price", "source"),
    [
        ("OnDemand", "7.346", "table 2026-06 eastus"),
        ("Spot", "7.346", "table 2026-06 eastus, on demand"),
    ],
)
def test_the_price_is_that_of_all_nodes_and_says_what_it_is(
    capacity: str, price: str, source: str
) -> None:
    compute = {"device": "GPU", "nodes": 2, "capacityType": capacity}
    world = InMemory(
        job(
            model={"storageUri": "hf://meta-llama/Llama-3.1-8B"},
            compute=compute | {"instanceTypes": ["Standard_NC24ads_A100_v4"]},
        )
    )
    manifest = world.finetune_class.to_dict() if world.finetune_class else {}
    manifest["spec"]["provisioner"] = {"type": "Karpenter"}
    world.finetune_class = FineTuneClass.from_stored(manifest)
    world.settle()
    assert (plan(world)["hourlyPrice"], plan(world)["priceSource"]) == (price, source)


def test_nodes_that_are_there_already_cost_nothing_more() -> None:
    world = claiming("Standard_NC24ads_A100_v4")
    world.finetune_class = InMemory().finetune_class
    world.settle()
    assert plan(world)["instanceType"] == "Standard_NC24ads_A100_v4"
    assert "hourlyPrice" not in plan(world)
