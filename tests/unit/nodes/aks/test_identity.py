"""Who the operator is to Azure, and what is said where it is nobody."""

from __future__ import annotations

from pathlib import Path

import pytest

from finetune_operator.api.reason import Reason
from finetune_operator.nodes.aks.client import AgentPools
from finetune_operator.nodes.aks.identity import by_workload_identity
from tests.arm.server import CLIENT, SUBSCRIPTION, TENANT
from tests.unit.nodes.aks.builders import aks_class
from tests.unit.nodes.aks.world import a_world

VARIABLES = ("AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_FEDERATED_TOKEN_FILE")


async def test_a_pod_without_an_identity_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    async with a_world(tmp_path, aks_class()) as world:
        world.agent_pools = AgentPools(by_workload_identity, world.clock)
        told = await world.look(world.job("chat"))
    assert told.reason == Reason.PROVISIONER_MISCONFIGURED
    assert "NoWorkloadIdentity" in told.message
    assert "client_id" in told.message


@pytest.mark.parametrize(
    ("cloud", "address"),
    [
        ("AZURE_PUBLIC_CLOUD", "https://management.azure.com/"),
        ("AZURE_US_GOVERNMENT", "https://management.usgovcloudapi.net/"),
        ("AZURE_CHINA_CLOUD", "https://management.chinacloudapi.cn/"),
    ],
)
async def test_the_cloud_is_that_of_the_environment(
    cloud: str, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in zip(VARIABLES, (CLIENT, TENANT, str(tmp_path / "token")), strict=True):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AZURE_SDK_CLOUD_CONF", cloud)
    session = by_workload_identity(SUBSCRIPTION)
    assert session.client._config.base_url == address
    await session.close()
