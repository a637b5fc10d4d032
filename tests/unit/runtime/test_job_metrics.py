"""What a Prometheus reads of an operator that works on a job."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from finetune_operator.domain.telling import Told
from finetune_operator.runtime.job_metrics import count
from finetune_operator.runtime.metrics_page import PAGE, page, rows
from tests.unit.domain.lifecycle.looks import report
from tests.unit.runtime.in_memory_api import (
    InMemoryApi,
    at_work,
    gpu_job,
    to_the_end,
    to_training,
)
from tests.unit.runtime.scraper import Scraper, scraping

CLASS = {"class": "default", "capacity_type": "OnDemand"}


@pytest.fixture
def scraper() -> Iterator[Scraper]:
    with scraping() as made:
        yield made


async def test_a_life_is_measured_from_apply_to_publish(scraper: Scraper) -> None:
    world = InMemoryApi(gpu_job())
    async with at_work(world) as operator:
        pod = await to_training(operator, world)
        world.now += timedelta(seconds=15)
        operator.post(report(12))
        await operator.settle()
        assert scraper.now("finetune_jobs", phase="Training") == 1
        assert scraper.now("finetune_gpus", **CLASS) == 2
        assert scraper.now("finetune_tokens_per_second") == 15100
        assert scraper.counted("finetune_gpu_seconds_total", **CLASS) == 0
        await to_the_end(operator, world, pod)
        assert scraper.now("finetune_jobs", phase="Succeeded") == 1
        assert scraper.now("finetune_jobs", phase="Training") is None
        assert scraper.now("finetune_gpus", **CLASS) is None
        for name, seconds in (
            ("preparing", 40),
            ("queue_wait", 0),
            ("provisioning", 5),
            ("time_to_first_step", 60),
            ("training", 620),
            ("publish", 15),
        ):
            assert scraper.counted(f"finetune_{name}_seconds_count") == 1, name
            assert scraper.counted(f"finetune_{name}_seconds_sum") == seconds, name
        assert scraper.counted("finetune_gpu_seconds_total", **CLASS) == 2 * 620
        assert scraper.counted("finetune_jobs_finished_total", phase="Succeeded") == 1
        world.gone = True
        await operator.settle()
        assert scraper.now("finetune_jobs", phase="Succeeded") is None
        assert scraper.counted("finetune_gpu_seconds_total", **CLASS) == 2 * 620


async def test_what_could_not_be_written_is_not_counted(scraper: Scraper) -> None:
    world = InMemoryApi(gpu_job())
    async with at_work(world) as operator:
        pod = await to_training(operator, world)
        world.now += timedelta(seconds=100)
        world.evict(pod)
        world.end(pod, 13)
        world.conflicts = 2
        await operator.settle()
        assert world.conflicts == 0
        assert scraper.counted("finetune_restarts_total", reason="Disrupted") == 1
        assert scraper.counted("finetune_gpu_seconds_total", **CLASS) == 2 * 105


async def test_an_operator_that_is_started_anew_goes_on_and_counts_nothing_again(
    scraper: Scraper,
) -> None:
    world = InMemoryApi(gpu_job())
    async with at_work(world) as first:
        pod = await to_training(first, world)
    async with at_work(world) as second:
        await second.settle()
        assert scraper.now("finetune_jobs", phase="Training") == 1
        await to_the_end(second, world, pod)
    async with at_work(world) as third:
        await third.settle()
        assert scraper.now("finetune_jobs", phase="Succeeded") == 1
    assert scraper.counted("finetune_jobs_finished_total", phase="Succeeded") == 1
    assert scraper.counted("finetune_gpu_seconds_total", **CLASS) == 2 * 605
    assert scraper.counted("finetune_provisioning_seconds_count") == 1


async def test_what_a_deleted_job_has_used_is_not_lost(scraper: Scraper) -> None:
    world = InMemoryApi(gpu_job())
    async with at_work(world) as operator:
        await to_training(operator, world)
        world.now += timedelta(seconds=50)
        world.gone = True
        await operator.settle()
    assert scraper.counted("finetune_gpu_seconds_total", **CLASS) > 0


async def test_a_job_that_nobody_can_help_but_a_person_is_shown_with_its_reason(
    scraper: Scraper,
) -> None:
    world = InMemoryApi(gpu_job())
    world.finetune_class = None
    async with at_work(world) as operator:
        await operator.settle()
        assert scraper.now("finetune_jobs_stalled", reason="ClassNotFound") == 1
        world.gone = True
        await operator.settle()
        assert scraper.now("finetune_jobs_stalled", reason="ClassNotFound") is None


def test_what_nodes_cost_is_counted_from_the_first_count_on(scraper: Scraper) -> None:
    job, paid = gpu_job(className="research"), {"class": "research", "currency": "USD"}
    count(job, Told())
    assert scraper.now("finetune_cost_total", **paid) is None
    count(job, Told(), "USD")
    assert scraper.now("finetune_cost_total", **paid) == 0
    for _ in range(2):
        count(job, Told(spent=Decimal("3.67"), idle=Decimal("0.5")), "USD")
    assert scraper.now("finetune_cost_total", **paid) == 7.34
    assert scraper.now("finetune_idle_cost_total", **paid) == 1


async def test_a_job_near_its_budget_is_told_until_it_is_trained(scraper: Scraper) -> None:
    world = InMemoryApi(gpu_job(budget={"maxDurationSeconds": 2000}))
    async with at_work(world) as operator:
        pod = await to_training(operator, world)
        world.now += timedelta(seconds=1599)
        await operator.settle()
        assert scraper.now("finetune_jobs_near_budget") is None
        world.now += timedelta(seconds=1)
        await operator.settle()
        assert scraper.now("finetune_jobs_near_budget") == 1
        world.end(pod)
        await operator.settle()
        assert scraper.now("finetune_jobs_near_budget") is None


def test_the_reference_is_up_to_date() -> None:
    root = Path(__file__).parents[3]
    assert (root / PAGE).read_text() == page(), "run `make generate`"


async def test_every_metric_of_the_reference_is_there_and_no_label_names_a_job(
    scraper: Scraper,
) -> None:
    world = InMemoryApi(gpu_job())
    async with at_work(world) as operator:
        await to_the_end(operator, world, await to_training(operator, world))
        found = dict(re.findall(r"^# TYPE (\S+) (\w+)$", scraper.text(), re.MULTILINE))
        samples = scraper.samples()
    named = {name: kind for name, kind, _, _ in rows()}
    assert named.items() <= found.items()
    for name, labels in samples:
        if name.startswith("finetune_"):
            assert not {"chat", world.job.metadata.uid} & {value for _, value in labels}, name
