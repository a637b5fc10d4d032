"""A process that is led to the loopback server takes it for Azure, and meets nobody else."""

from __future__ import annotations

import asyncio
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from tests.arm.cluster import FakeCluster
from tests.arm.server import CLUSTER, GROUP, SUBSCRIPTION, ArmServer
from tests.arm.tunnel import public_cloud

# A process of its own: what a process trusts is read when it imports aiohttp.
OPERATOR = f"""
import asyncio
import aiohttp
from finetune_operator.domain.actions import ManagedCluster
from finetune_operator.nodes.aks.client import AgentPools

async def main():
    agent_pools = AgentPools()
    pools, _ = await agent_pools.look(ManagedCluster("{SUBSCRIPTION}", "{GROUP}", "{CLUSTER}"))
    print(*(pool.name for pool in pools))
    await agent_pools.close()
    async with aiohttp.ClientSession(trust_env=True) as session:
        try:
            await session.get("https://example.com")
        except aiohttp.ClientHttpProxyError as refused:
            print(refused.status)

asyncio.run(main())
"""


async def test_the_operators_own_identity_finds_agent_pools(tmp_path: Path) -> None:
    cluster = FakeCluster(lambda: datetime.now(UTC))
    cluster.foreign("system")
    server = ArmServer(cluster, cluster.now)
    async with public_cloud(server, tmp_path) as environment:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", OPERATOR),
            env={**os.environ, **environment, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=asyncio.subprocess.PIPE,
        )
        said, _ = await process.communicate()
    assert said.decode().split() == ["system", "403"]
