"""Jobs that are there already, as the operator would have left them: made in memory, by its own
decisions, and written to the API server with what belongs to them."""

import asyncio
import json
from collections.abc import Iterable
from typing import Any

from tests.cluster.simulation.api import MERGE, Api, Object
from tests.unit.domain.in_memory import InMemory

from bench.operator import jobs
from bench.operator.children import JOBS, NAMESPACE
from finetune_operator.api.fine_tune_job import FineTuneJob

_NAME = "to-be-named"
_UID = "11111111-2222-3333-4444-555555555555"
PATHS = {
    "ConfigMap": ("api/v1", "configmaps"),
    "PersistentVolumeClaim": ("api/v1", "persistentvolumeclaims"),
    "Job": ("apis/batch/v1", "jobs"),
    "Pod": ("api/v1", "pods"),
}
_LONG_AGO = "2026-01-01T00:00:00Z"
_COMPLETE = {
    "startTime": _LONG_AGO,
    "completionTime": _LONG_AGO,
    "succeeded": 1,
    "conditions": [
        {"type": each, "status": "True", "lastTransitionTime": _LONG_AGO}
        for each in ("SuccessCriteriaMet", "Complete")
    ],
}
POD = f"{_NAME}-train-1-0"


def training() -> tuple[Object, list[Object]]:
    """A job whose only attempt runs, and what belongs to it."""
    world, pod = _world()
    pod["metadata"]["name"] = POD
    own = ("ConfigMap", _recipe(world)), ("PersistentVolumeClaim", _NAME), _train(world)
    made = [_clean(kind, world.objects[kind, name]) for kind, name in own]
    return world.job.to_dict(), [*made, _clean("Pod", pod)]


def finished() -> tuple[Object, list[Object]]:
    """A job that has succeeded, and what belongs to it."""
    world, _ = _world()
    world.finish_well()
    world.settle()
    jobs_made = [("Job", name) for kind, name in world.objects if kind == "Job"]
    own = [("ConfigMap", _recipe(world)), ("PersistentVolumeClaim", _NAME), *jobs_made]
    return world.job.to_dict(), [_clean(kind, world.objects[kind, name]) for kind, name in own]


def _world() -> tuple[InMemory, Object]:
    stored = jobs.manifest(_NAME)
    stored["metadata"] |= {"uid": _UID, "generation": 1}
    world = InMemory(FineTuneJob.from_stored(stored))
    return world, world.to_training()


def _recipe(world: InMemory) -> str:
    return next(name for kind, name in world.objects if kind == "ConfigMap")


def _train(world: InMemory) -> tuple[str, str]:
    return next(each for each in world.objects if each[0] == "Job" and "-train-" in each[1])


def _clean(kind: str, made: Object) -> Object:
    """Without what the API server gives."""
    given = ("uid", "creationTimestamp", "resourceVersion")
    metadata = {name: each for name, each in made["metadata"].items() if name not in given}
    rest = {name: each for name, each in made.items() if name not in ("metadata", "owner")}
    version = {"ConfigMap": "v1", "PersistentVolumeClaim": "v1", "Pod": "v1", "Job": "batch/v1"}
    if kind == "Job" and rest.pop("status", None):
        rest["status"] = _COMPLETE
    whole = {"apiVersion": version[kind], "kind": kind, "metadata": metadata, **rest}
    whole["metadata"]["namespace"] = NAMESPACE
    return whole


async def populate(
    api: Api, made: tuple[Object, list[Object]], names: Iterable[str]
) -> dict[str, Object]:
    """So many of them; the pods by the name of their FineTuneJob."""
    job, children = made
    turn = asyncio.Semaphore(jobs.AT_A_TIME)

    async def one(name: str) -> Object | None:
        async with turn:
            live = await api.ask("POST", JOBS, jobs.manifest(name))
            uid = live["metadata"]["uid"]
            status = {"status": _named(job["status"], name, uid)}
            await api.ask("PATCH", f"{JOBS}/{name}/status", status, content_type=MERGE)
            pod = None
            for child in children:
                stored = await _create(api, _named(child, name, uid))
                pod = stored if child["kind"] == "Pod" else pod
            return pod

    wanted = list(names)
    pods = await asyncio.gather(*(one(each) for each in wanted))
    return {name: pod for name, pod in zip(wanted, pods, strict=True) if pod is not None}


async def _create(api: Api, child: Object) -> Object:
    group, plural = PATHS[child["kind"]]
    path = f"/{group}/namespaces/{NAMESPACE}/{plural}"
    stored = await api.ask("POST", path, child)
    if "status" in child:
        place = f"{path}/{child['metadata']['name']}/status"
        status = {"status": child["status"]}
        await api.ask("PATCH", place, status, content_type=MERGE)
    return stored


def _named(value: Any, name: str, uid: str) -> Any:
    text = json.dumps(value).replace(_NAME, name).replace(_UID, uid)
    return json.loads(text)
