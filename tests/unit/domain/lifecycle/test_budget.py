"""What a job has cost, and how it stops before it costs too much."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetune_operator.api.conditions import ConditionType
from finetune_operator.api.fine_tune_class import FineTuneClass
from finetune_operator.api.fine_tune_job_status import Phase
from finetune_operator.api.reason import Reason
from finetune_operator.domain import cost
from finetune_operator.domain.lifecycle.budget import STOPPING_SECONDS, WORTH_STARTING_SECONDS
from finetune_operator.domain.provisioning import Offer
from tests.unit.domain.in_memory import IMAGES, InMemory, Object, job
from tests.unit.domain.lifecycle.looks import condition, edit, phase, report, train_jobs

TYPE, PRICE = "Standard_NC24ads_A100_v4", Decimal("3.673")


def claiming(nodes: int = 1, of_class: dict[str, Any] | None = None, **budget: Any) -> InMemory:
    """A world whose class gets machines by NodeClaims, at a known price."""
    world = InMemory(
        job(
            compute={"device": "CPU", "nodes": nodes, "instanceTypes": [TYPE]},
            checkpoint={"volumeClaim": {"accessModes": ["ReadWriteMany"]}},
            budget=budget,
        )
    )
    world.finetune_class = FineTuneClass.model_validate(
        {
            "metadata": {"name": "default"},
            "spec": {
                "images": IMAGES,
                "provisioner": {"type": "KAITO"},
                "budget": of_class or {},
            },
        }
    )
    return world


def passes(world: InMemory, seconds: float) -> None:
    world.now += timedelta(seconds=seconds)
    world.settle()


def bill(world: InMemory) -> dict[str, Any]:
    assert world.job.status.cost is not None
    return world.job.status.cost.to_dict()


def test_the_bill_tells_what_was_held_and_what_of_it_was_idle() -> None:
    world = claiming(nodes=2)
    world.settle()
    world.make_pods()
    [pod] = world.pods()
    world.run(pod)
    world.end(pod)
    world.settle()
    began = world.now
    passes(world, 200)  # the nodes start
    world.give_nodes()
    world.settle()
    world.make_pods()
    for pod in world.pods():
        world.run(pod)
    world.settle()
    passes(world, 1000)
    for pod in world.pods():
        world.end(pod)
    world.settle()
    assert phase(world) is Phase.PUBLISHING
    passes(world, 5000)  # nothing is held any more
    assert bill(world) == {
        "currency": "USD",
        "spent": "2.45",  # 2 · 3.673 · 1200 / 3600, rounded up
        "idle": "0.41",
        "charges": [
            {
                "instanceType": TYPE,
                "capacityType": "OnDemand",
                "nodes": 2,
                "hourlyPrice": "3.673",
                "seconds": 1200,
                "idleSeconds": 200,
            }
        ],
        "updatedAt": (began + timedelta(seconds=1200)).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def test_nodes_that_are_there_cost_nothing_but_time() -> None:
    world = InMemory(job(compute={"device": "CPU"}))
    pod = world.to_training()
    passes(world, 700)
    world.end(pod)
    world.settle()
    [charge] = bill(world)["charges"]
    assert charge == {"nodes": 1, "seconds": 700, "idleSeconds": 0}
    assert "spent" not in bill(world)


def test_nodes_that_come_with_the_pods_are_known_by_what_the_pods_run_on() -> None:
    world = InMemory(job(compute={"device": "CPU", "capacityType": "Spot"}))
    its_class = world.finetune_class.to_dict() if world.finetune_class else {}
    its_class["spec"]["provisioner"] = {"type": "Karpenter"}
    world.finetune_class = FineTuneClass.from_stored(its_class)
    world.machine = Offer(TYPE, spot=True)
    pod = world.to_training()
    passes(world, 3600)
    world.end(pod, 13)
    world.settle()
    assert world.job.status.nodes is not None
    assert world.job.status.nodes.instance_type is None
    [charge] = bill(world)["charges"]
    assert (charge["instanceType"], charge["capacityType"]) == (TYPE, "Spot")
    assert bill(world)["spent"] == "3.68"


def test_nodes_cost_on_while_nobody_can_give_them_back() -> None:
    world = claiming()
    pod = world.to_training()
    began = cost.held_seconds(world.job.status.cost)
    its_class, world.finetune_class = world.finetune_class, None
    edit(world, suspend=True)
    world.settle()
    world.end(pod, 13)
    world.settle()
    passes(world, 1000)
    world.finetune_class = its_class
    world.settle()
    assert world.all("NodeClaim") == []
    assert cost.held_seconds(world.job.status.cost) == began + 1000
    assert bill(world)["charges"][0]["hourlyPrice"] == "3.673"


def test_costs_are_not_written_more_often_than_anything_else() -> None:
    world = claiming()
    world.to_training()
    passes(world, 300)
    before = bill(world)
    for _ in range(5):
        passes(world, 50)
        assert bill(world) == before
    passes(world, 50)
    assert bill(world) != before


def test_a_training_that_runs_foretells_its_own_time_and_cost() -> None:
    world = claiming()
    world.to_training()
    began = cost.held_seconds(world.job.status.cost)
    world.now += timedelta(seconds=1000)
    world.progress = report(420).model_copy(update={"remaining_seconds": 3000})
    world.settle()
    plan, trained = world.job.status.plan, cost.trained_seconds(world.job.status.cost)
    assert plan is not None
    assert trained == 1000
    assert plan.estimated_duration_seconds == 4000
    exact = PRICE * (began + 1000 + 3000) / 3600
    assert plan.estimated_cost is not None
    assert Decimal(0) <= Decimal(plan.estimated_cost) - exact < Decimal("0.01")


def test_nodes_without_a_price_foretell_the_time_alone() -> None:
    world = InMemory(job(compute={"device": "CPU"}))
    world.to_training()
    world.now += timedelta(seconds=60)
    world.progress = report(420)
    world.settle()
    assert world.job.status.plan is not None
    assert world.job.status.plan.estimated_duration_seconds == 60 + 5880
    assert world.job.status.plan.estimated_cost is None


LIMITS: dict[str, tuple[dict[str, Any], dict[str, Any], str, int]] = {
    "money": (
        {"maxCost": "7.34"},
        {},
        "budget.maxCost is 7.34 USD, and ",
        7194,
    ),
    "money, of the class": (
        {"maxCost": "100.00"},
        {"maxCostPerJob": "7.34"},
        "budget.maxCostPerJob of FineTuneClass default is 7.34 USD, and ",
        7194,
    ),
    "money, of the namespace": (
        {},
        {"maxCostPerNamespacePerMonth": "107.34"},
        "budget.maxCostPerNamespacePerMonth of FineTuneClass default is 107.34 USD, and 107.",
        7194,
    ),
    "time": (
        {"maxDurationSeconds": 3600},
        {},
        "budget.maxDurationSeconds is 3600 s, and 3420 are used",
        3600,
    ),
}


@pytest.mark.parametrize(("budget", "of_class", "said", "lasts"), LIMITS.values(), ids=LIMITS)
def test_a_job_over_its_budget_saves_gives_its_nodes_back_and_waits(
    budget: dict[str, Any], of_class: dict[str, Any], said: str, lasts: int
) -> None:
    world = claiming(of_class=of_class, **budget)
    world.month_spent = Decimal(100)
    began = world.now
    pod = world.to_training()
    held = world.job.status.cost
    assert held is not None
    until = held.updated_at - timedelta(seconds=cost.held_seconds(held))
    assert until >= began
    limit = until + timedelta(seconds=lasts - STOPPING_SECONDS)
    world.now = limit - timedelta(seconds=5)
    decision = world.reconcile()
    assert decision.requeue_after is not None
    assert phase(world) is Phase.TRAINING
    world.now += timedelta(seconds=decision.requeue_after)
    assert world.now <= limit + timedelta(seconds=1)
    world.settle()
    assert "deletionTimestamp" in pod["metadata"], "it is told to save a checkpoint"
    world.end(pod, 13)
    world.settle()
    assert phase(world) is Phase.SUSPENDED
    for kind, status in ((ConditionType.SUSPENDED, "True"), (ConditionType.STALLED, "True")):
        found = condition(world, kind)
        assert found[:2] == (status, Reason.BUDGET_EXCEEDED)
        assert found[2].startswith(said)
        assert "raise it to go on" in found[2]
    assert world.all("NodeClaim") == []
    attempts = world.job.status.attempts
    assert attempts is not None
    assert (attempts.failures, attempts.disruptions) == (0, 1)
    passes(world, 10_000)
    assert phase(world) is Phase.SUSPENDED
    assert train_jobs(world) == ["chat-train-1"]


def test_raising_the_budget_goes_on() -> None:
    world = claiming(maxCost="3.00")
    pod = world.to_training()
    passes(world, 2900)
    world.end(pod, 13)
    world.settle()
    assert phase(world) is Phase.SUSPENDED
    edit(world, budget={"maxCost": "3.10"})
    world.settle()
    assert phase(world) is Phase.SUSPENDED, "too little for another checkpoint"
    edit(world, budget={"maxCost": "30.00"})
    world.settle()
    assert condition(world, ConditionType.SUSPENDED)[:2] == ("False", Reason.RESUMED)
    assert condition(world, ConditionType.STALLED)[0] == "False"
    world.finish_well()
    assert train_jobs(world) == ["chat-train-1", "chat-train-2"]
    assert phase(world) is Phase.SUCCEEDED


def test_what_cannot_even_begin_within_its_budget_gets_no_node() -> None:
    least = (PRICE * (STOPPING_SECONDS + WORTH_STARTING_SECONDS) / 3600).quantize(Decimal("0.01"))
    world = claiming(maxCost=str(least))
    world.settle()
    assert phase(world) is Phase.SUSPENDED
    assert condition(world, ConditionType.SUSPENDED)[1] == Reason.BUDGET_EXCEEDED
    assert world.all("Job") == []
    assert world.job.status.cost is None


def test_a_budget_of_money_that_comes_later_has_to_be_countable() -> None:
    world = InMemory(job(compute={"device": "CPU"}))
    pod = world.to_training()
    edit(world, budget={"maxCost": "40.00"})
    world.settle()
    world.end(pod, 13)
    world.settle()
    said = condition(world, ConditionType.SUSPENDED)
    assert said[1] == Reason.BUDGET_EXCEEDED
    assert "budget.maxCost cannot be kept" in said[2]


def test_a_job_that_is_trained_is_finished_whatever_it_has_cost() -> None:
    world = claiming(maxCost="3.00")
    pod = world.to_training()
    world.now += timedelta(hours=9)
    world.end(pod)
    world.finish_well()
    assert phase(world) is Phase.SUCCEEDED


@settings(max_examples=25, deadline=None)
@given(
    cents=st.integers(100, 3000),
    nodes=st.sampled_from([1, 2, 4]),
    lateness=st.lists(st.integers(0, 60), min_size=1, max_size=20),
    restarts=st.lists(st.integers(0, 3), min_size=1, max_size=20),
    saving=st.integers(0, 119),
    evicted=st.lists(st.booleans(), min_size=1, max_size=20),
)
def test_the_budget_is_passed_by_no_more_than_two_late_looks(
    *,
    cents: int,
    nodes: int,
    lateness: list[int],
    restarts: list[int],
    saving: int,
    evicted: list[bool],
) -> None:
    """Whatever happens to the operator and to the pods: each look comes up to a minute late, some
    die before they have written what they decided, pods take their time to save."""
    allowed = Decimal(cents) / 100
    world = claiming(nodes, maxCost=str(allowed))
    told: dict[str, Any] = {}
    for turn in range(400):
        # An operator that always dies before it has written anything would never count anything.
        dies = restarts[turn % len(restarts)] if turn % 2 else 0
        decision = world.reconcile(crash_after=dies or None)
        if phase(world) is Phase.SUSPENDED and not world.all("NodeClaim"):
            break
        world.give_nodes()
        world.make_pods()
        for pod in world.pods():
            lives_on(world, pod, told, saving, evicted=evicted[turn % len(evicted)])
        wanted = decision.requeue_after
        world.now += timedelta(seconds=min(300.0 if wanted is None else wanted, 300))
        world.now += timedelta(seconds=lateness[turn % len(lateness)] if wanted else 0)
    else:
        raise AssertionError(f"it never stopped: {world.job.status}")
    world.reconcile()
    a_minute = PRICE * nodes / 60
    # The look that sees it, and the one that sees that the pods have ended; the first is due in
    # whole seconds.
    assert cost.spent(world.job.status.cost) <= allowed + 2 * a_minute + a_minute / 60


def lives_on(
    world: InMemory, pod: Object, told: dict[str, Any], saving: int, *, evicted: bool
) -> None:
    """Pods are started, sometimes evicted, and take so long to save when they are told to go."""
    name = pod["metadata"]["name"]
    if "deletionTimestamp" in pod["metadata"]:
        since = told.setdefault(name, world.now)
        if world.now >= since + timedelta(seconds=saving):
            world.end(pod, 13)
    elif pod["status"]["phase"] == "Pending":
        world.run(pod)
        if "-train-" not in name:
            world.end(pod)
    elif evicted and "-train-" in name:
        world.evict(pod)
