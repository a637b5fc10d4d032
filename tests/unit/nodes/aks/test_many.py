"""Many jobs at once, and Azure's limits on requests."""

from __future__ import annotations

from pathlib import Path

import pytest

from finetune_operator.nodes.aks.client import FRESH_SECONDS
from tests.arm.server import SUBSCRIPTION
from tests.unit.nodes.aks.builders import aks_class
from tests.unit.nodes.aks.world import Job, a_world, nothing_held, ready

JOBS = 50


async def test_fifty_jobs_get_their_pools_at_once(tmp_path: Path) -> None:
    """As Azure documents its limit now, for each pool, nothing has to wait."""
    async with a_world(tmp_path, aks_class(), page=10) as world:
        jobs = [world.job(f"job-{number}") for number in range(JOBS)]
        started = world.clock()
        await world.all_until(jobs, ready)
        assert (world.clock() - started).total_seconds() < 400
        assert sorted(world.cluster.tagged("finetune-operator-job-uid").values()) == sorted(
            job.uid for job in jobs
        )
        assert [status for *_, status in world.arm.requests if status == 429] == []
        puts = [name for method, name, _ in world.arm.requests if method == "PUT"]
        assert len(puts) == len(set(puts)) == JOBS
        reads = [name for method, name, _ in world.arm.requests if name == "agentPools"]
        pages, seconds = JOBS / 10, (world.clock() - started).total_seconds()
        assert len(reads) / pages <= seconds / FRESH_SECONDS + 2
        for job in jobs:
            job.wanted = False
            job.due = None
        await world.all_until(jobs, nothing_held)
        assert world.cluster.pools == {}


async def test_fifty_jobs_share_one_bucket_in_the_order_in_which_they_came(tmp_path: Path) -> None:
    """As Azure documented it before: 20 at once, then one each minute. What it refuses is no more
    than what the workers sent before they knew."""
    async with a_world(tmp_path, aks_class(), one_bucket=True) as world:
        jobs = [world.job(f"job-{number:02}") for number in range(JOBS)]
        order: list[str] = []
        world.cluster.refuse = lambda name, properties: order.append(name)
        started = world.clock()
        told = await world.look(jobs[0])
        await world.all_until(jobs, ready, seconds=3 * 3600)
        minutes = (world.clock() - started).total_seconds() / 60
        assert minutes == pytest.approx(JOBS - 20, abs=8)
        refused = [name for method, name, status in world.arm.requests if status == 429]
        assert len(refused) <= 1
        assert len(order) == len(set(order)) == JOBS
        pools = {job.uid: job for job in jobs}
        owners = world.cluster.tagged("finetune-operator-job-uid")
        came = [pools[owners[name]].name for name in order]
        assert came == sorted(came)
        assert told.actions


async def test_a_job_that_waits_for_the_limit_says_so(tmp_path: Path) -> None:
    async with a_world(tmp_path, aks_class(), one_bucket=True) as world:
        jobs = [world.job(f"job-{number:02}") for number in range(23)]
        for job in jobs:
            await world.look(job)
        world.clock.forward(1)
        told = [(await world.look(job)).message for job in jobs]
        assert all("Creating" in each for each in told[:20])
        assert "Throttled" in told[20]
        assert "1 other pools are before this one" in told[21]
        assert "asked for again in" in told[22]


async def test_jobs_that_wait_for_nothing_do_not_hold_up_the_line(tmp_path: Path) -> None:
    async with a_world(tmp_path, aks_class(), one_bucket=True) as world:
        jobs = [world.job(f"job-{number:02}") for number in range(24)]
        for job in jobs:
            await world.look(job)
        for job in jobs[20:23]:
            job.wanted = False
        started = world.clock()
        await world.until(jobs[23], ready)
        assert (world.clock() - started).total_seconds() < 900


async def test_readings_beyond_the_limit_wait_as_long_as_they_are_told(tmp_path: Path) -> None:
    async with a_world(tmp_path, aks_class()) as world:
        world.arm._others.take(world.clock())
        world.arm._others.left = 0
        job: Job = world.job("chat")
        told = await world.look(job)
        assert "Throttled" in told.message
        await world.look(world.job("other"))
        paths = [name for *_, name, status in world.arm.requests if status == 429]
        assert paths == ["agentPools"]
        await world.until(job, ready)


async def test_another_subscription_has_a_session_of_its_own(tmp_path: Path) -> None:
    async with a_world(tmp_path, aks_class(subscriptionId=SUBSCRIPTION.replace("3", "4"))) as world:
        told = await world.look(world.job("chat"))
        assert "SubscriptionNotFound" in told.message
