"""What a controller is given, with what a test has of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from finetune_operator.cluster.client import Client
from finetune_operator.cluster.events import EventRecorder
from finetune_operator.nodes import Provisioners
from finetune_operator.nodes.aks.client import AgentPools
from finetune_operator.nodes.prices import PriceBook
from finetune_operator.runtime.cluster_view import ClusterView, WholeCluster
from finetune_operator.runtime.job_board import JobBoard
from finetune_operator.runtime.settings import Settings
from finetune_operator.runtime.tools import Tools


def some_tools(
    client: Client,
    now: Callable[[], datetime],
    *,
    view: ClusterView | None = None,
    agent_pools: AgentPools | None = None,
) -> Tools:
    """By default of a whole cluster that knows no Azure."""
    return Tools(
        client,
        EventRecorder(client),
        Settings(),
        now,
        PriceBook("", now),
        view or WholeCluster(client),
        Provisioners(agent_pools or AgentPools(now=now)),
        JobBoard(now),
    )
