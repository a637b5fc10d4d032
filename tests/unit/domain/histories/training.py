"""How attempts run and end, and what a person does to them meanwhile."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from finetune_trainer.exit_codes import ExitCode
from tests.unit.domain.histories.world import TWO_NODES, History, Recorded
from tests.unit.domain.in_memory import job
from tests.unit.domain.lifecycle.looks import edit, report


def _training() -> Recorded:
    world = Recorded()
    world.to_training()
    world.now += timedelta(seconds=11)
    world.progress = report(420)
    world.settle()
    return world


def _ended(code: int, message: str = "as the trainer says", **spec: Any) -> History:
    def history() -> Recorded:
        world = Recorded(job(**spec))
        world.end(world.to_training(), code, message)
        world.settle()
        return world

    return history


def _out_of_memory() -> Recorded:
    world = Recorded()
    pod = world.to_training()
    world.end(pod, 137)
    for state in pod["status"]["containerStatuses"]:
        state["state"]["terminated"]["reason"] = "OOMKilled"
    world.settle()
    return world


def _evicted() -> Recorded:
    world = Recorded()
    pod = world.to_training()
    world.evict(pod)
    world.end(pod, 1)
    world.settle()
    return world


def _hangs() -> Recorded:
    world = _training()
    world.unchanged_seconds = 3600
    world.reconcile()
    return world


def _over_budget() -> Recorded:
    """Its nodes were held for as long as they may be."""
    world = Recorded(job(budget={"maxDurationSeconds": 3600}))
    pod = world.to_training()
    world.now += timedelta(seconds=3600)
    world.settle()
    world.end(pod, ExitCode.PREEMPTED)
    world.settle()
    return world


def _one_leaves() -> Recorded:
    """One pod of an attempt is told to go, before the other has a node."""
    world = Recorded(job(compute=TWO_NODES))
    world.to_training()
    leaving, _ = world.pods()
    world.delete("Pod", leaving["metadata"]["name"])
    world.settle()
    return world


def _suspending() -> Recorded:
    world = _training()
    edit(world, suspend=True)
    world.settle()
    return world


def _suspended() -> Recorded:
    world = _suspending()
    [pod] = world.pods()
    world.end(pod, ExitCode.PREEMPTED)
    world.settle()
    return world


def _resumed() -> Recorded:
    world = _suspended()
    edit(world, suspend=False)
    world.settle()
    return world


def _edited() -> Recorded:
    """The operator is away while somebody edits the job."""
    world = _training()
    edit(world, suspend=True)
    return world


def _volume_deleted() -> Recorded:
    world = _training()
    world.delete("PersistentVolumeClaim", "chat")
    world.settle()
    return world


def _refused() -> Recorded:
    """The API server takes a child for invalid, of a job that was accepted."""
    world = _training()
    world.refuse("Invalid value", for_good=True)
    return world


TRAINING: dict[str, History] = {
    "an attempt is running": _training,
    "it says for an hour that it is at the same step": _hangs,
    "its budget is used up": _over_budget,
    "one pod of two has to leave": _one_leaves,
    **{
        f"an attempt ended: {code.reason}": _ended(code)
        for code in ExitCode
        if code is not ExitCode.OK
    },
    "an attempt ended: exit code 1": _ended(1),
    "attempts failed more often than restarts.limit": _ended(1, restarts={"limit": 0}),
    "an attempt ended: the message names the data": _ended(
        ExitCode.DATA_ERROR, '{"reason": "DataError", "message": "train.jsonl line 17: not JSON"}'
    ),
    "killed at its memory limit": _out_of_memory,
    "a pod was evicted": _evicted,
    "suspend was set while the operator is away": _edited,
    "a checkpoint is being saved": _suspending,
    "suspended": _suspended,
    "resumed": _resumed,
    "its volume was deleted": _volume_deleted,
    "a child of an accepted job is not valid": _refused,
}
