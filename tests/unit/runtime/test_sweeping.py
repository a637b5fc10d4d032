"""The operator's round: classes, the pools of those of type AKS, and what becomes of leftovers."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from finetune_operator.runtime.sweeping import sweep_once
from tests.unit.nodes.aks.builders import aks_class
from tests.unit.nodes.aks.world import a_world, ready
from tests.unit.runtime.some_tools import some_tools


async def test_a_pool_without_a_job_is_named_in_the_log_and_deleted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with a_world(tmp_path, aks_class()) as world:
        tools = some_tools(world.client, world.clock, agent_pools=world.agent_pools)
        others = {"metadata": {"name": "default"}, "spec": {"images": {"trainer": "a/b:1"}}}
        unknown = {"metadata": {"name": "new"}, "spec": {"provisioner": {"type": "Moon"}}}
        world.kubernetes.classes = [unknown, others, world.its_class.to_dict()]
        await world.until(world.job("chat"), ready)
        (pool,) = world.cluster.pools
        await sweep_once(tools)
        assert [verb for verb, _ in world.cluster.writes] == ["PUT"]
        world.kubernetes.jobs.clear()
        with caplog.at_level(logging.WARNING):
            await sweep_once(tools)
        world.clock.forward(600)
        assert world.cluster.all() == []
        told = f"agent pool {pool} is given back: FineTuneJob team/chat, which held it, is gone"
        assert told in caplog.text
