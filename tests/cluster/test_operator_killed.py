"""The operator is killed (-9) before and after each write of a job's life, and nothing is lost.

First one job lives undisturbed, and the proxy between operator and API server notes each of its
writes. Then there is a job for each of those writes and each of the two moments; the operator
dies when that job comes there, and is started again. Pods are simulated.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.cluster.simulation import trainer
from tests.cluster.simulation.api import Object
from tests.cluster.simulation.node import End
from tests.cluster.simulation.proxy import Moment, Write
from tests.cluster.simulation.world import World, world

ATTEMPTS = 3
DEATHS_OF_A_JOB = 4
HELD_SECONDS = 0.3
LIFE = {"cleanupAfterSeconds": 1}
"""What the simulated pods of every job go through is below: a failure, a suspension, a success,
a registry that is down, a result; at last everything but the job is removed."""


VARYING = re.compile(r"-[a-z0-9]{5}\b|\d\d:\d\d:\d\d")
"""Suffixes of pods, and times of day."""


def script(pod: Object) -> dict[str, End] | None:
    _, role, number = trainer.attempt_of(pod)
    if role == "train" and number == 1:
        return {"train": End(1, "RuntimeError: out of luck")}
    if role == "train" and number == 2:
        return None  # until it is suspended
    if role == "publish" and number == 1:
        return {"publish": trainer.UNAVAILABLE}
    return trainer.well(pod)


async def test_killed_before_and_after_each_write(cluster: dict[str, Any], tmp_path: Path) -> None:
    async with world("killed", script, tmp_path) as the_world:
        user = asyncio.create_task(suspends_and_resumes(the_world))
        try:
            await the_world.create("undisturbed", **LIFE)
            await the_world.until(all_cleaned_up(1), deadline=90)
            moments = writes_of_a_life(the_world.proxy.writes)
            executioner = Executioner(the_world, moments)
            await asyncio.gather(*(the_world.create(name, **LIFE) for name in executioner.to_come))
            everybody = all_cleaned_up(1 + len(executioner.to_come))
            jobs = await the_world.until(everybody, deadline=300)
        finally:
            user.cancel()
        assert not any(executioner.to_come.values()), "these writes never happened again"
        for name, job in jobs.items():
            assert_one_life(name, job)
        assert_created_once(the_world.proxy.writes, set(jobs))


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


def identity(write: Write, job: str) -> str:
    """What a write does, the same for every job; statuses are told apart by what they say."""
    what = f"{write.method} {write.resource} {write.name.removeprefix(job)}"
    if write.resource == "events":
        message = VARYING.sub("", write.body["message"]).replace(job, "")
        return f"{write.method} events {write.body['reason']} {message}"
    if write.resource == "finetunejobs/status":
        status = write.body["status"]
        true = [each["type"] for each in status.get("conditions", []) if each["status"] == "True"]
        reasons = [
            each["reason"] for each in status.get("conditions", []) if each["type"] == "Reconciling"
        ]
        return f"{what} {status.get('phase', '')} {status.get('attempts', '')} {true} {reasons}"
    return what


def writes_of_a_life(writes: list[Write]) -> list[str]:
    return list(dict.fromkeys(identity(each, "undisturbed") for each in writes))


class Executioner:
    """Kills the operator at each (write, moment), and starts it again.

    Each job has a few of them, spread over its life. Several workers may be at theirs at a time:
    the write that comes first is held for an instant, so that one death serves all of them.
    """

    def __init__(self, the_world: World, writes: list[str]) -> None:
        places = [(write, moment) for write in writes for moment in Moment]
        count = -(-len(places) // DEATHS_OF_A_JOB)
        self.to_come = {f"j{index:03}": places[index::count] for index in range(count)}
        self._operator = the_world.operator
        self._dying: asyncio.Task[None] | None = None
        the_world.proxy.kill = self._kill

    async def _kill(self, write: Write, moment: Moment) -> bool:
        job = write.name[:4]
        place = (identity(write, job), moment)
        if place not in self.to_come.get(job, ()):
            return False
        self.to_come[job].remove(place)
        if self._dying is None:
            self._dying = asyncio.create_task(self._die())
        await self._dying
        return True

    async def _die(self) -> None:
        await asyncio.sleep(HELD_SECONDS)
        self._dying = None
        self._operator.kill()
        self._operator.start()


def assert_one_life(name: str, job: Object) -> None:
    status = job["status"]
    assert status["attempts"] == {"current": ATTEMPTS, "failures": 1, "disruptions": 1}, name
    assert len(status["artifacts"]) == 1, name
    assert status["evaluation"]["tuned"] == {"Loss": "1.12"}, name


def assert_created_once(writes: list[Write], jobs: set[str]) -> None:
    """One Job for each attempt and no other, none of them ever made twice."""
    made = Counter(each.name for each in writes if each.resource == "jobs" and each.status == 201)
    roles = ["prepare-1", *(f"train-{number + 1}" for number in range(ATTEMPTS))]
    roles += ["publish-1", "publish-2"]
    assert made == Counter(f"{job}-{role}" for job in jobs for role in roles)
