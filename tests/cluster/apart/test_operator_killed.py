"""The operator is killed (-9) before and after each write of a job's life, and nothing is lost.

A proxy between operator and API server holds every write. One of a sort that was not seen before
is not forwarded: the operator dies instead. When its successor makes that write, it is forwarded,
and the operator dies before it hears of it. So each sort of write has a death before and after
it, whichever writes there are. Pods are simulated.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cluster.kube import counted
from tests.cluster.simulation import trainer
from tests.cluster.simulation.api import Object
from tests.cluster.simulation.control_plane import ControlPlane
from tests.cluster.simulation.node import End
from tests.cluster.simulation.proxy import Moment, Write
from tests.cluster.simulation.world import World, world

pytestmark = pytest.mark.apart

ATTEMPTS = 3
JOBS = 5
HELD_SECONDS = 0.3
LIFE = {
    "cleanupAfterSeconds": 1,
    "publish": {"type": "Workspace", "workspace": {"name": "support"}},
}
"""What the simulated pods of every job go through is below: a failure, a suspension, a success,
a registry that is down, a result; at last everything but the job is removed."""


WRITES = 35
"""Sorts of writes in such a life, at the least: 6 Jobs made and removed, the other children,
statuses, events."""
OWN = re.compile(r"^job-\d+|-\d{4}$|-[0-9a-f]{10}$")
"""What a name has of a single job, revision or configuration."""
VARYING = re.compile(r"job-\d+|-[a-z0-9]{5}\b|\d\d:\d\d:\d\d")
"""Names of jobs, suffixes of pods, and times of day."""


def script(pod: Object) -> dict[str, End] | None:
    if pod["metadata"]["labels"]["finetune.dev/role"] == "serve":
        return None
    _, role, number = trainer.attempt_of(pod)
    if role == "train" and number == 1:
        return {"train": End(1, "RuntimeError: out of luck")}
    if role == "train" and number == 2:
        return None  # until it is suspended
    if role == "publish" and number == 1:
        return {"publish": trainer.UNAVAILABLE}
    return trainer.well(pod)


async def test_killed_before_and_after_each_write(plane: ControlPlane, tmp_path: Path) -> None:
    async with world("killed", script, tmp_path, plane=plane) as the_world:
        executioner = Executioner(the_world)
        names = {f"job-{number}" for number in range(JOBS)}
        async with asyncio.TaskGroup() as group:
            user = group.create_task(suspends_and_resumes(the_world))
            await the_world.create_workspace("support")
            await asyncio.gather(*(the_world.create(name, **LIFE) for name in names))
            jobs = await the_world.until(all_cleaned_up(JOBS), deadline=300)
            user.cancel()
        assert executioner.struck(Moment.BEFORE) >= executioner.struck(Moment.AFTER) >= WRITES
        for name, job in jobs.items():
            assert_one_life(name, job)
        assert_created_once(the_world.proxy.writes, names)
        revisions = await the_world.children("inferencerevisions", "apis/finetune.dev/v1beta1")
        assert {each["metadata"]["name"] for each in revisions} == {
            job["status"]["published"]["revision"] for job in jobs.values()
        }
        assert len(revisions) == JOBS
        print(f"{the_world.operator.starts - 1} deaths", *executioner.done, sep="\n")


async def suspends_and_resumes(the_world: World) -> None:
    """The user: suspends each job while its second attempt runs, and resumes it."""
    while True:
        for name, job in (await the_world.jobs()).items():
            status = job.get("status", {})
            second = status.get("attempts", {}).get("current") == 2
            if second and status["phase"] == "Training" and not job["spec"].get("suspend"):
                await the_world.change(name, suspend=True)
            elif status.get("phase") == "Suspended" and job["spec"].get("suspend"):
                await the_world.change(name, suspend=False)
        await asyncio.sleep(0.3)


def all_cleaned_up(count: int) -> Callable[[dict[str, Object]], bool]:
    def hold(jobs: dict[str, Object]) -> bool:
        return len(jobs) == count and all(
            job.get("status", {}).get("phase") == "Succeeded" for job in jobs.values()
        )

    return hold


def identity(write: Write) -> str:
    """What a write does, the same for every job; statuses are told apart by what they say."""
    what = f"{write.method} {write.resource} {OWN.sub('', write.name)}"
    if write.resource == "events":
        message = VARYING.sub("", write.body["message"])
        return f"{write.method} events {write.body['reason']} {message}"
    if write.resource == "finetunejobs/status":
        status = write.body["status"]
        true = [each["type"] for each in status.get("conditions", []) if each["status"] == "True"]
        reasons = [
            each["reason"] for each in status.get("conditions", []) if each["type"] == "Reconciling"
        ]
        return f"{what} {status.get('phase', '')} {status.get('attempts', '')} {true} {reasons}"
    return what


class Executioner:
    """Kills the operator before and after each sort of write, and starts it again.

    Several workers may be at such a write at a time: the one that comes first is held for an
    instant, so that one death serves all of them.
    """

    def __init__(self, the_world: World) -> None:
        self.done: dict[tuple[str, Moment], None] = {}
        self._world = the_world
        self._dying: asyncio.Task[None] | None = None
        the_world.proxy.kill = self._kill

    def struck(self, when: Moment) -> int:
        """Sorts of writes with a death at that moment."""
        return len([moment for _, moment in self.done if moment is when])

    async def _kill(self, write: Write, moment: Moment) -> bool:
        place = (identity(write), moment)
        if write.namespace != self._world.namespace or place in self.done:
            return False
        self.done[place] = None
        if self._dying is None:
            self._dying = asyncio.create_task(self._die())
        await self._dying
        return True

    async def _die(self) -> None:
        await asyncio.sleep(HELD_SECONDS)
        self._dying = None
        self._world.operator.kill()
        self._world.operator.start()


def assert_one_life(name: str, job: Object) -> None:
    status = job["status"]
    assert counted(job) == (ATTEMPTS, 1, 1), name
    assert len(status["artifacts"]) == 1, name
    assert status["evaluation"]["tuned"] == {"Loss": "1.12"}, name


def assert_created_once(writes: list[Write], jobs: set[str]) -> None:
    """One Job for each attempt and no other, none of them ever made twice."""
    made = Counter(each.name for each in writes if each.resource == "jobs" and each.status == 201)
    roles = ["prepare-1", *(f"train-{number + 1}" for number in range(ATTEMPTS))]
    roles += ["publish-1", "publish-2"]
    assert made == Counter(f"{job}-{role}" for job in jobs for role in roles)
