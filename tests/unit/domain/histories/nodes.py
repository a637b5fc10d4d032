"""Nodes that are made for a job."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from finetune_operator.api.reason import Reason
from finetune_operator.domain.provisioning import Offer, Provision, Refusal
from tests.unit.domain.histories.world import History, Recorded, finish_pods
from tests.unit.domain.in_memory import CLAIMING, job

LARGE = Offer("Standard_NC24ads_A100_v4", spot=False)
ASKED = Provision(False, True, Reason.PROVISIONING, "0 of 1 nodes are ready", offer=LARGE)


def _claiming() -> Recorded:
    world = Recorded(job(compute={"device": "CPU", "instanceTypes": [LARGE.instance_type]}))
    world.finetune_class = CLAIMING
    return world


def _asking() -> Recorded:
    world = _claiming()
    finish_pods(world)
    return world


def _without_capacity() -> Recorded:
    world = _asking()
    world.refuse_node(world.all("NodeClaim")[0])
    world.settle()
    return world


def _answered(provision: Provision) -> History:
    """A provider that says so."""

    def history() -> Recorded:
        world = _asking()
        world.also_seen = {"provision": provision}
        world.settle()
        return world

    return history


def _refused(reason: Reason) -> History:
    refusal = Refusal(LARGE, reason, "the provider's own words", 600)
    return _answered(replace(ASKED, held=False, refusals=(refusal,)))


def _given_back() -> Recorded:
    world = _claiming()
    world.end(world.to_training())
    world.settle()
    return world


def _fewer() -> Recorded:
    """One of two nodes does not come back after the first attempt."""
    compute = {"device": "CPU", "nodes": 2, "minNodes": 1}
    volume = {"volumeClaim": {"accessModes": ["ReadWriteMany"]}}
    world = Recorded(job(compute=compute, checkpoint=volume))
    world.evict(world.to_training())
    for seconds in (61, 61, 301, 1):
        while leaving := [pod for pod in world.pods() if "deletionTimestamp" in pod["metadata"]]:
            world.end(leaving[0], 13)
        world.now += timedelta(seconds=seconds)
        world.settle()
        world.make_pods()
        for pod in world.pods()[:1]:
            world.run(pod)
        world.settle()
    return world


def _class_deleted() -> Recorded:
    world = _asking()
    world.finetune_class = None
    world.settle()
    return world


NODES: dict[str, History] = {
    "its nodes are being made": _asking,
    "no instance type has capacity": _without_capacity,
    "the provider's quota is used up": _refused(Reason.NODE_QUOTA_EXCEEDED),
    "the provider refuses what the class says": _answered(
        replace(ASKED, reason=Reason.PROVISIONER_MISCONFIGURED, message="no role on the cluster")
    ),
    "the provider does not know the instance type": _refused(Reason.PROVISIONING_FAILED),
    "its nodes are given back": _given_back,
    "the class that its nodes are of is deleted": _class_deleted,
    "one of two nodes does not come back": _fewer,
}
