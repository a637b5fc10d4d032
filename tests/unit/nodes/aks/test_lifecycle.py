"""A FineTuneJob of a class of type AKS, from acceptance to its end: lifecycle and provisioner."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from finetune_operator.api.conditions import ConditionType
from finetune_operator.api.fine_tune_job_status import Phase
from finetune_operator.api.reason import Reason
from finetune_operator.domain.actions import Action, DeleteAgentPool, PutAgentPool
from finetune_operator.domain.names import NODES_FINALIZER
from finetune_operator.domain.provisioning import EXISTING, NodeRequest, Provision
from finetune_operator.nodes.aks.decide import decide
from tests.arm.cluster import FakeCluster, nested
from tests.unit.domain.in_memory import InMemory, job
from tests.unit.domain.lifecycle.looks import condition, edit, phase, train_jobs
from tests.unit.nodes.aks.azure_in_memory import AzureInMemory
from tests.unit.nodes.aks.builders import aks_class
from tests.unit.nodes.builders import LARGE, SMALL


class OnAKS(InMemory):
    """One job, whose class gets its nodes from Azure."""

    def __init__(self, **compute: Any) -> None:
        types = [LARGE.instance_type, SMALL.instance_type]
        machines = {"device": "CPU", "instanceTypes": types, **compute}
        super().__init__(job(reusePolicy="Always", compute=machines))
        self.finetune_class = aks_class()
        self.cluster = FakeCluster(lambda: self.now)
        self.azure = AzureInMemory(self.cluster)

    def _provision(self, request: NodeRequest) -> Provision:
        if not request.wanted and NODES_FINALIZER not in self.job.metadata.finalizers:
            return EXISTING
        assert self.finetune_class is not None
        return decide(self.finetune_class, request, self.azure.seen())

    def carry_out(self, action: Action) -> None:
        """Of Kubernetes, or of Azure."""
        if isinstance(action, PutAgentPool | DeleteAgentPool):
            self.azure.carry_out(action)
        else:
            super().carry_out(action)

    def time_goes_by(self, seconds: float) -> None:
        """The operator looks as often as it wanted."""
        for _ in range(int(seconds / 15)):
            self.settle()
            self.now += timedelta(seconds=15)
        self.settle()

    def to_its_nodes(self) -> None:
        """Data are prepared, and the job has asked for nodes."""
        self.settle()
        self.make_pods()
        [pod] = self.pods()
        self.run(pod)
        self.end(pod)
        self.settle()


def test_it_trains_on_a_pool_of_its_own_which_goes_when_training_is_complete() -> None:
    world = OnAKS()
    world.to_its_nodes()
    (pool,) = world.cluster.pools.values()
    assert (pool.state, train_jobs(world)) == ("Creating", [])
    assert phase(world) is Phase.QUEUED
    world.time_goes_by(90)
    assert train_jobs(world) == ["chat-train-1"]
    spec = world.objects["Job", "chat-train-1"]["spec"]["template"]["spec"]
    assert spec["nodeSelector"] == {"kubernetes.azure.com/agentpool": pool.name}
    assert "finetune.dev/agent-pool" in [each["key"] for each in spec["tolerations"]]
    world.make_pods()
    [pod] = world.pods()
    world.run(pod)
    world.end(pod)
    world.time_goes_by(90)
    assert phase(world) is Phase.PUBLISHING
    assert world.cluster.pools == {}
    assert NODES_FINALIZER not in world.job.metadata.finalizers


def test_a_job_that_is_deleted_while_its_pool_is_made_leaves_none() -> None:
    world = OnAKS()
    world.to_its_nodes()
    world.delete_job()
    world.settle()
    assert not world.gone
    world.time_goes_by(90)
    assert world.gone
    assert world.cluster.pools == {}


def test_a_job_that_is_suspended_gets_its_pool_again() -> None:
    world = OnAKS()
    world.to_its_nodes()
    edit(world, suspend=True)
    world.time_goes_by(90)
    assert world.cluster.pools == {}
    assert phase(world) is Phase.SUSPENDED
    edit(world, suspend=False)
    world.time_goes_by(120)
    assert train_jobs(world) == ["chat-train-1"]


def test_a_job_fails_when_no_instance_type_can_ever_be_had() -> None:
    world = OnAKS()
    world.cluster.refuse = lambda name, body: nested(400, "VMSizeNotSupported", "No such size.")
    world.to_its_nodes()
    world.time_goes_by(60)
    assert phase(world) is Phase.FAILED
    status, reason, message = condition(world, ConditionType.FAILED)
    assert (status, reason) == ("True", Reason.PROVISIONING_FAILED)
    assert LARGE.instance_type in message
    assert SMALL.instance_type in message
    assert "No such size" in message


def test_a_job_waits_when_one_of_them_may_come() -> None:
    world = OnAKS()
    world.cluster.refuse = lambda name, body: nested(
        400,
        "VMSizeNotSupported" if body["vmSize"] == LARGE.instance_type else "AllocationFailed",
        "!",
    )
    world.to_its_nodes()
    world.time_goes_by(60)
    assert phase(world) is Phase.QUEUED
    world.cluster.refuse = lambda name, body: None
    world.time_goes_by(900)
    assert train_jobs(world) == ["chat-train-1"]
    (pool,) = world.cluster.pools.values()
    assert pool.properties["vmSize"] == SMALL.instance_type


def test_what_is_too_much_goes_although_the_nodes_are_there() -> None:
    """A pool whose deletion had to wait is not forgotten once another one serves."""
    world = OnAKS()
    failed = {"code": "AllocationFailed", "message": "None free."}
    large = LARGE.instance_type
    world.cluster.fail = lambda name, body: failed if body["vmSize"] == large else None
    deletions = [nested(429, "Throttled", "Later.")]
    real = world.cluster.delete

    def delete(name: str, *, if_match: str = "") -> int:
        if deletions:
            raise deletions.pop()
        return real(name, if_match=if_match)

    world.cluster.delete = delete  # type: ignore[method-assign]
    world.to_its_nodes()
    world.time_goes_by(75)
    assert len(world.cluster.pools) == 2
    world.time_goes_by(240)
    assert train_jobs(world) == ["chat-train-1"]
    (pool,) = world.cluster.pools.values()
    assert pool.properties["vmSize"] == SMALL.instance_type
