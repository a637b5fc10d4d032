"""With how many nodes an attempt starts after another one has ended."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from finetune_operator.api.conditions import ConditionType
from finetune_operator.api.fine_tune_job_status import Phase
from finetune_operator.api.reason import Reason
from tests.unit.domain.in_memory import CLAIMING, InMemory, Object, job
from tests.unit.domain.lifecycle.looks import condition, edit, phase, train_jobs

LARGE = "Standard_NC24ads_A100_v4"
SHARED = {"volumeClaim": {"accessModes": ["ReadWriteMany"]}}


def a_job(**compute: Any) -> InMemory:
    """Of four nodes and four sequences in a batch."""
    whole = {"device": "CPU", "nodes": 4, "minNodes": 1, **compute}
    return InMemory(job(compute=whole, checkpoint=SHARED))


def interrupted(world: InMemory) -> InMemory:
    """Its first attempt has ended because a pod was told to leave."""
    world.evict(world.to_training())
    ended_at_once(world)
    assert train_jobs(world)[0] == "chat-train-1"
    return world


def placed(world: InMemory, number: int) -> None:
    """So many pods of the newest attempt find a node, each its own."""
    world.make_pods()
    for index, pod in enumerate(world.pods()[:number]):
        world.run(pod, f"node-{index}")
    world.settle()


def parallelism(world: InMemory) -> int:
    """Of the newest attempt."""
    spec: Object = world.objects["Job", train_jobs(world)[-1]]["spec"]
    assert spec["parallelism"] == spec["completions"]
    environment = spec["template"]["spec"]["containers"][0]["env"]
    told = {each["name"]: each.get("value") for each in environment}
    assert told["PET_NNODES"] == str(spec["parallelism"])
    return int(spec["parallelism"])


def nodes(world: InMemory) -> int | None:
    attempts = world.job.status.attempts
    assert attempts is not None
    return attempts.nodes


def after(world: InMemory, seconds: int) -> None:
    world.now += timedelta(seconds=seconds)
    world.settle()


def start(world: InMemory) -> None:
    """The pause after a short attempt is over."""
    after(world, 61)


def ended_at_once(world: InMemory) -> None:
    """With the first of its pods all others go."""
    while pods := world.pods():
        world.end(pods[0], 13)
    world.settle()


@pytest.mark.parametrize(("there", "used"), [(1, 1), (2, 2), (3, 2)])
def test_pods_that_wait_in_vain_make_room_for_fewer(there: int, used: int) -> None:
    world = interrupted(a_job())
    start(world)
    assert (train_jobs(world)[-1], parallelism(world)) == ("chat-train-2", 4)
    placed(world, there)
    after(world, 299)
    assert train_jobs(world)[-1] == "chat-train-2"
    after(world, 2)
    ended_at_once(world)
    assert train_jobs(world)[-1] == "chat-train-3"
    assert parallelism(world) == used, "4 sequences cannot be shared by 3"
    assert nodes(world) == used
    placed(world, used)
    assert condition(world, ConditionType.NODES_READY) == (
        "True",
        Reason.FEWER_NODES,
        f"it trains on {used} of 4 nodes",
    )
    assert phase(world) is Phase.TRAINING
    assert condition(world, ConditionType.RECONCILING)[2] == (
        f"attempt 3 is running on {used} of 4 nodes"
    )
    attempts = world.job.status.attempts
    assert attempts is not None
    assert (attempts.failures, attempts.disruptions) == (0, 2)


def test_what_waits_has_nothing_to_save() -> None:
    world = interrupted(a_job())
    start(world)
    placed(world, 2)
    after(world, 301)
    assert train_jobs(world)[-1] == "chat-train-3", "its pods are not waited for"


def test_a_pod_that_vanishes_from_a_running_attempt_makes_no_room() -> None:
    """The Job is about to fail, and the others have something to save."""
    world = interrupted(a_job())
    start(world)
    placed(world, 4)
    after(world, 3000)
    world.objects.pop(("Pod", world.pods()[0]["metadata"]["name"]))
    world.settle()
    assert all("deletionTimestamp" not in pod["metadata"] for pod in world.pods())
    assert nodes(world) is None


def fewer() -> InMemory:
    """Trains on 2 nodes of 4."""
    world = interrupted(a_job())
    start(world)
    placed(world, 2)
    after(world, 301)
    ended_at_once(world)
    placed(world, 2)
    assert parallelism(world) == 2
    return world


def test_the_next_attempt_asks_for_all_again() -> None:
    world = fewer()
    ended_at_once(world)
    start(world)
    assert (train_jobs(world)[-1], parallelism(world)) == ("chat-train-4", 4)
    assert nodes(world) is None
    placed(world, 4)
    assert condition(world, ConditionType.NODES_READY)[1] == Reason.SCHEDULED


def test_one_that_is_lost_before_it_starts_leaves_still_fewer() -> None:
    world = interrupted(a_job())
    start(world)
    placed(world, 2)
    after(world, 301)
    ended_at_once(world)
    placed(world, 1)
    after(world, 301)
    ended_at_once(world)
    assert parallelism(world) == 1


def test_never_fewer_than_asked() -> None:
    world = interrupted(a_job(minNodes=2))
    start(world)
    placed(world, 1)
    after(world, 3000)
    assert (train_jobs(world)[-1], parallelism(world)) == ("chat-train-2", 4)


def test_a_node_that_does_not_answer_is_none() -> None:
    world = interrupted(a_job())
    start(world)
    world.lost_nodes = frozenset({"node-1"})
    placed(world, 2)
    after(world, 301)
    ended_at_once(world)
    assert parallelism(world) == 1


def test_the_first_attempt_waits_for_all() -> None:
    world = a_job(minNodesAfterSeconds=0)
    world.settle()
    world.make_pods()
    for pod in world.pods():
        world.run(pod)
        world.end(pod)
    world.settle()
    placed(world, 3)
    after(world, 3000)
    assert train_jobs(world) == ["chat-train-1"]
    assert parallelism(world) == 4


def test_a_job_that_was_suspended_meanwhile_asks_for_all() -> None:
    world = interrupted(a_job())
    start(world)
    placed(world, 2)
    world.now += timedelta(seconds=301)
    world.reconcile()
    assert nodes(world) == 2
    edit(world, suspend=True)
    ended_at_once(world)
    assert phase(world) is Phase.SUSPENDED
    edit(world, suspend=False)
    world.settle()
    assert parallelism(world) == 4


def test_without_min_nodes_all_are_waited_for() -> None:
    world = interrupted(a_job(minNodes=None))
    start(world)
    placed(world, 3)
    after(world, 3000)
    assert (train_jobs(world)[-1], parallelism(world)) == ("chat-train-2", 4)


def on_given_nodes(**compute: Any) -> InMemory:
    world = a_job(instanceTypes=[LARGE], **compute)
    world.finetune_class = CLAIMING
    return world


def lose(world: InMemory, number: int, *, for_good: bool = False) -> None:
    """Nodes go, and for others there is no capacity."""
    for claim in world.all("NodeClaim")[:number]:
        if for_good:
            world.refuse_node(claim)
        else:
            world.delete("NodeClaim", claim["metadata"]["name"])


@pytest.mark.parametrize("for_good", [False, True])
def test_given_nodes_that_do_not_come_back_are_not_waited_for(for_good: bool) -> None:
    world = on_given_nodes()
    world.to_training()
    lose(world, 1, for_good=for_good)
    ended_at_once(world)
    start(world)
    assert train_jobs(world) == ["chat-train-1"]
    message = condition(world, ConditionType.NODES_READY)[2]
    assert f"3 of 4 nodes of {LARGE} are ready" in message
    assert "UTC on 1 will do" in message
    assert len(world.all("NodeClaim")) == (3 if for_good else 4)
    after(world, 301)
    assert train_jobs(world)[-1] == "chat-train-2"
    assert parallelism(world) == 2
    spec = world.objects["Job", "chat-train-2"]["spec"]["template"]["spec"]
    assert spec["nodeSelector"] == {"finetune.dev/job-uid": "uid-of-chat"}
    known = world.job.status.nodes
    assert known is not None
    assert known.missing_since is None
    assert known.instance_type == LARGE


def test_given_nodes_are_waited_for_from_when_they_are_missing() -> None:
    world = on_given_nodes()
    world.to_training()
    after(world, 3600)
    lose(world, 1)
    ended_at_once(world)
    assert train_jobs(world) == ["chat-train-1"]
    after(world, 200)
    world.give_nodes()
    world.settle()
    assert train_jobs(world)[-1] == "chat-train-2"
    assert parallelism(world) == 4, "it came back"


def test_nothing_is_waited_for_while_a_job_rests() -> None:
    world = on_given_nodes()
    world.to_training()
    lose(world, 1)
    ended_at_once(world)
    start(world)
    edit(world, suspend=True)
    world.settle()
    known = world.job.status.nodes
    assert known is not None
    assert known.missing_since is None


def test_a_claim_that_is_going_is_none() -> None:
    """It says that it is ready until its machine has gone."""
    world = on_given_nodes()
    world.to_training()
    world.all("NodeClaim")[0]["metadata"]["deletionTimestamp"] = world.now.isoformat()
    ended_at_once(world)
    start(world)
    assert "3 of 4 nodes" in condition(world, ConditionType.NODES_READY)[2]
    assert train_jobs(world) == ["chat-train-1"]


def test_all_nodes_that_are_held_are_paid_for() -> None:
    world = on_given_nodes()
    world.to_training()
    lose(world, 1, for_good=True)
    ended_at_once(world)
    start(world)
    after(world, 301)
    assert parallelism(world) == 2
    placed(world, 2)
    after(world, 600)
    cost = world.job.status.cost
    assert cost is not None
    last = cost.charges[-1]
    assert (last.nodes, last.seconds) == (3, 600), "one of them cannot share the batch"


def test_of_nodes_that_come_with_the_pods_those_are_paid_for_that_train() -> None:
    world = fewer()
    after(world, 600)
    cost = world.job.status.cost
    assert cost is not None
    assert cost.charges[-1].nodes == 2
