"""What keeps the pods of an attempt from running."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from finetune_operator.domain.names import Role
from finetune_operator.domain.observed import Child, Notice
from tests.unit.domain.histories.world import TWO_NODES, History, Recorded, finish_pods
from tests.unit.domain.in_memory import Object, job

Change = Callable[[Recorded, Object], None]
"""What happens to a pod of a training attempt."""


def _starting() -> Recorded:
    world = Recorded()
    finish_pods(world)
    return world


def _held_up(change: Change, **spec: Any) -> History:
    """A pod of a training attempt that does not get on, beside one without a node."""

    def history() -> Recorded:
        world = Recorded(job(compute=TWO_NODES, **spec))
        finish_pods(world)
        world.make_pods()
        change(world, world.pods()[0])
        world.settle()
        return world

    return history


def _unscheduled(message: str) -> Change:
    def change(_: Recorded, pod: Object) -> None:
        condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
        pod["status"]["conditions"] = [condition | {"message": message}]

    return change


def _claim_pending(world: Recorded, pod: Object) -> None:
    _unscheduled("pod has unbound immediate PersistentVolumeClaims")(world, pod)
    said = Notice("uid-claim", "ProvisioningFailed", "no such StorageClass")
    world.also_seen = {
        "volume_claim": Child("chat", "uid-claim", phase="Pending"),
        "notices": (said,),
    }


def _container(reason: str, message: str) -> Change:
    def change(_: Recorded, pod: Object) -> None:
        pod["spec"]["nodeName"] = "n"
        state = {"waiting": {"reason": reason, "message": message}}
        pod["status"]["containerStatuses"] = [{"name": "train", "image": "i", "state": state}]

    return change


def _node_lost(world: Recorded, pod: Object) -> None:
    world.run(pod)
    world.lost_nodes = frozenset({"n"})


def _no_pods(message: str) -> Change:
    def change(world: Recorded, _: Object) -> None:
        for pod in world.pods():
            world.objects.pop(("Pod", pod["metadata"]["name"]))
        uid = next(each for each in world.observe().batch_jobs if each.role is Role.TRAIN).uid
        world.also_seen = {"notices": (Notice(uid, "FailedCreate", message),)}

    return change


def _held_by_queue(world: Recorded, _: Object) -> None:
    for pod in world.pods():
        world.objects.pop(("Pod", pod["metadata"]["name"]))
    for each in world.all("Job"):
        each["spec"]["suspend"] = "-train-" in each["metadata"]["name"]


WAITING: dict[str, History] = {
    "its pods are starting": _starting,
    "no node can take a pod": _held_up(_unscheduled("0/3 nodes are available")),
    "a claim of its sources is missing": _held_up(
        _unscheduled('persistentvolumeclaim "data" not found')
    ),
    "its claim has no volume": _held_up(_claim_pending),
    "an image cannot be pulled": _held_up(_container("ErrImagePull", "not found")),
    "a Secret is missing": _held_up(
        _container("CreateContainerConfigError", 'secret "hf-token" not found')
    ),
    "a container cannot start": _held_up(_container("RunContainerError", "no such runtime")),
    "a quota refuses its pods": _held_up(_no_pods("exceeded quota: team")),
    "a policy refuses its pods": _held_up(_no_pods("denied by policy")),
    "a queue holds it": _held_up(_held_by_queue),
    "its node does not answer": _held_up(_node_lost),
}
