"""Nodes that a job gets from a provider, and that it gives back whatever becomes of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from finetune_operator.api.conditions import ConditionType
from finetune_operator.api.fine_tune_job_status import Nodes, Phase
from finetune_operator.api.reason import Reason
from finetune_operator.domain.lifecycle.provision import node_request
from finetune_operator.domain.names import NODES_FINALIZER, Role
from finetune_operator.domain.observed import Pod
from tests.unit.domain.in_memory import CLAIMING, POOLING, InMemory, job
from tests.unit.domain.lifecycle.looks import condition, edit, phase, train_jobs

SMALL, LARGE = "Standard_NC4as_T4_v3", "Standard_NC24ads_A100_v4"


def claiming(nodes: int = 1) -> InMemory:
    """A world whose class gets nodes by NodeClaims."""
    volume = {"volumeClaim": {"accessModes": ["ReadWriteMany"]}}
    compute = {"device": "CPU", "nodes": nodes, "instanceTypes": [LARGE, SMALL]}
    world = InMemory(job(compute=compute, checkpoint=volume))
    world.finetune_class = CLAIMING
    return world


def prepared(nodes: int = 1) -> InMemory:
    """It asks for its nodes."""
    world = claiming(nodes)
    world.settle()
    assert world.all("NodeClaim") == [], "before its data are known to be good"
    world.make_pods()
    [pod] = world.pods()
    world.run(pod)
    world.end(pod)
    world.settle()
    return world


def types(world: InMemory) -> list[str]:
    """Instance types of the NodeClaims."""
    return [
        each["values"][0]
        for claim in world.all("NodeClaim")
        for each in claim["spec"]["requirements"]
        if each["key"] == "node.kubernetes.io/instance-type"
    ]


def test_the_attempt_waits_for_its_nodes() -> None:
    world = prepared(nodes=2)
    assert types(world) == [LARGE, LARGE]
    assert NODES_FINALIZER in world.job.metadata.finalizers
    assert phase(world) is Phase.QUEUED
    assert condition(world, ConditionType.NODES_READY) == (
        "False",
        Reason.PROVISIONING,
        f"0 of 2 nodes of {LARGE} are ready",
    )
    assert train_jobs(world) == []
    world.give_nodes()
    world.settle()
    assert train_jobs(world) == ["chat-train-1"]
    spec = world.objects["Job", "chat-train-1"]["spec"]["template"]["spec"]
    assert spec["nodeSelector"]["finetune.dev/job-uid"] == "uid-of-chat"
    assert {"key": "sku", "operator": "Equal", "value": "gpu", "effect": "NoSchedule"} in spec[
        "tolerations"
    ]


def test_the_provisioner_hears_since_when_a_pod_waits_for_a_node() -> None:
    world = prepared()
    first = Pod("team", "a", "uid-a", Role.TRAIN, 1, unschedulable="none", created=world.now)
    later = replace(first, created=world.now + timedelta(seconds=5))
    placed = replace(first, node="first", unschedulable="", created=None)
    for pods, since in (
        ([later, first], world.now),
        ([replace(first, role=Role.PREPARE)], None),
        ([replace(first, deleted=world.now)], None),
        ([placed], None),
    ):
        assert node_request(world.job, pods, world.now).waiting_since == since


def test_the_next_type_is_asked_for_where_one_has_no_capacity() -> None:
    world = prepared()
    world.refuse_node(world.all("NodeClaim")[0])
    world.settle()
    assert types(world) == [SMALL]
    held = world.job.status.nodes
    assert held is not None
    assert held.instance_type == SMALL
    [refused] = held.unavailable
    assert (refused.instance_type, refused.reason) == (LARGE, Reason.INSUFFICIENT_CAPACITY)
    assert refused.until == world.now + timedelta(hours=1)
    assert "westeurope" in refused.message


def test_a_type_is_asked_for_again_when_it_is_due() -> None:
    world = prepared()
    for _ in range(2):
        world.refuse_node(world.all("NodeClaim")[0])
        world.settle()
    assert types(world) == []
    status, reason, message = condition(world, ConditionType.NODES_READY)
    assert (status, reason) == ("False", Reason.INSUFFICIENT_CAPACITY)
    assert LARGE in message
    assert SMALL in message
    assert "Asked for again at 11:0" in message
    assert world.reconcile().requeue_after is not None
    world.now += timedelta(hours=1, seconds=1)
    world.settle()
    assert types(world) == [LARGE]


def test_nodes_are_given_back_when_training_is_complete() -> None:
    world = claiming()
    pod = world.to_training()
    assert types(world) == [LARGE]
    world.end(pod)
    world.settle()
    assert types(world) == [], "while the result is being pushed"
    assert phase(world) is Phase.PUBLISHING
    assert NODES_FINALIZER not in world.job.metadata.finalizers
    assert world.job.status.nodes == Nodes()
    world.finish_well()
    assert condition(world, ConditionType.NODES_READY)[1] == Reason.RELEASED


def test_nodes_are_given_back_when_training_fails_for_good() -> None:
    world = claiming()
    world.end(world.to_training(), 10, "the recipe cannot work")
    world.settle()
    assert phase(world) is Phase.FAILED
    assert types(world) == []
    assert NODES_FINALIZER not in world.job.metadata.finalizers


def test_suspending_gives_the_nodes_back_once_the_checkpoint_is_written() -> None:
    world = claiming()
    pod = world.to_training()
    edit(world, suspend=True)
    world.settle()
    assert types(world) == [LARGE], "the pod is saving"
    world.end(pod, 13)
    world.settle()
    assert types(world) == []
    assert phase(world) is Phase.SUSPENDED
    edit(world, suspend=False)
    world.settle()
    world.now += timedelta(seconds=30)
    world.settle()
    assert types(world) == [LARGE]


def test_a_node_that_is_taken_away_is_got_again_for_the_next_attempt() -> None:
    world = claiming()
    pod = world.to_training()
    world.evict(pod)
    world.end(pod, 13)
    world.delete("NodeClaim", world.all("NodeClaim")[0]["metadata"]["name"])
    for _ in range(2):
        world.settle()
        world.now += timedelta(seconds=60)
    world.settle()
    assert train_jobs(world) == ["chat-train-1"]
    assert types(world) == [LARGE]
    world.give_nodes()
    world.settle()
    assert train_jobs(world) == ["chat-train-1", "chat-train-2"]


def second_attempt(nodes: int = 2) -> InMemory:
    """Its pods wait for their nodes, all of which the provider has given."""
    world = claiming(nodes)
    world.evict(world.to_training())
    while pods := world.pods():
        world.end(pods[0], 13)
    for _ in range(3):
        world.settle()
        world.now += timedelta(seconds=60)
    assert train_jobs(world)[-1] == "chat-train-2"
    return world


def claims(world: InMemory) -> set[str]:
    return {each["metadata"]["name"] for each in world.all("NodeClaim")}


def test_of_several_nodes_only_the_lost_one_is_asked_for_again() -> None:
    world = claiming(2)
    world.evict(world.to_training())
    before = claims(world)
    kept, lost = world.all("NodeClaim")
    world.delete("NodeClaim", lost["metadata"]["name"])
    while pods := world.pods():
        world.end(pods[0], 13)
    for _ in range(3):
        world.settle()
        world.now += timedelta(seconds=60)
    assert claims(world) == before
    assert kept in world.all("NodeClaim"), "the very one that was there"
    assert train_jobs(world) == ["chat-train-1"]
    world.give_nodes()
    world.settle()
    assert train_jobs(world)[-1] == "chat-train-2"


def test_a_node_that_goes_before_the_next_attempt_is_on_it_is_asked_for_again() -> None:
    world = second_attempt()
    world.make_pods()
    world.run(world.pods()[0])
    before = claims(world)
    world.delete("NodeClaim", world.all("NodeClaim")[1]["metadata"]["name"])
    world.settle()
    assert claims(world) == before
    assert condition(world, ConditionType.NODES_READY)[:2] == ("False", Reason.PROVISIONING)
    world.give_nodes()
    for pod in world.pods():
        world.run(pod)
    world.settle()
    assert phase(world) is Phase.TRAINING
    assert train_jobs(world) == ["chat-train-1", "chat-train-2"]


def pooling() -> InMemory:
    world = InMemory(job(compute={"device": "CPU", "instanceTypes": [LARGE]}))
    world.finetune_class = POOLING
    return world


def node_pools(world: InMemory) -> list[str]:
    return [each["metadata"]["name"] for each in world.all("NodePool")]


def test_a_node_pool_that_was_deleted_is_made_again_before_the_next_attempt() -> None:
    world = pooling()
    pod = world.to_training()
    assert node_pools(world) == ["finetune-uid-of-chat"]
    # Karpenter drains its nodes.
    world.delete("NodePool", "finetune-uid-of-chat")
    world.evict(pod)
    world.end(pod, 13)
    for _ in range(3):
        world.settle()
        world.now += timedelta(seconds=60)
    assert world.created[-2:] == [("NodePool", "finetune-uid-of-chat"), ("Job", "chat-train-2")]
    spec = world.objects["Job", "chat-train-2"]["spec"]["template"]["spec"]
    assert spec["nodeSelector"]["karpenter.sh/nodepool"] == "finetune-uid-of-chat"
    world.finish_well()
    assert node_pools(world) == []
    assert NODES_FINALIZER not in world.job.metadata.finalizers


def test_a_node_pool_that_goes_while_pods_wait_for_it_is_made_again() -> None:
    world = pooling()
    pod = world.to_training()
    world.evict(pod)
    world.end(pod, 13)
    for _ in range(3):
        world.settle()
        world.now += timedelta(seconds=60)
    assert train_jobs(world)[-1] == "chat-train-2"
    world.make_pods()
    world.delete("NodePool", "finetune-uid-of-chat")
    world.settle()
    assert node_pools(world) == ["finetune-uid-of-chat"]
    assert train_jobs(world)[-1] == "chat-train-2"


def test_a_deleted_job_ends_its_pods_and_gives_its_nodes_back_before_it_goes() -> None:
    world = claiming()
    pod = world.to_training()
    world.delete_job()
    world.settle()
    assert not world.gone
    assert types(world) == [LARGE], "the pod is saving"
    world.end(pod, 13)
    world.settle()
    assert types(world) == []
    assert world.gone


def test_nodes_stay_accounted_for_while_the_class_is_missing() -> None:
    world = claiming()
    pod = world.to_training()
    world.finetune_class = None
    world.delete_job()
    world.settle()
    world.end(pod, 13)
    world.settle()
    assert types(world) == [LARGE]
    assert not world.gone
    world.finetune_class = CLAIMING
    world.settle()
    assert types(world) == []
    assert world.gone
