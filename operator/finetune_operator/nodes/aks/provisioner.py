"""Looks at a cluster's agent pools for one job, and for the pools that no job looks at."""

import logging

from finetune_operator.api.fine_tune_class import FineTuneClass
from finetune_operator.cluster.client import Client
from finetune_operator.domain.actions import JsonObject, ManagedCluster
from finetune_operator.domain.kinds import NODE
from finetune_operator.domain.provisioning import NodeRequest, Provision
from finetune_operator.nodes.aks import body, sweep
from finetune_operator.nodes.aks.agent_pool import AGENT_POOL, AgentPool
from finetune_operator.nodes.aks.client import AgentPools, AgentPoolsUnreadError
from finetune_operator.nodes.aks.decide import decide, held
from finetune_operator.nodes.aks.errors import row_of
from finetune_operator.nodes.aks.members import Members
from finetune_operator.nodes.aks.seen import LOOK_SECONDS, Seen
from finetune_operator.nodes.leftovers import Leftover, gone

_log = logging.getLogger(__name__)


class AKSNodes:
    """One agent pool for each job."""

    def __init__(self, agent_pools: AgentPools) -> None:
        self._agent_pools = agent_pools

    async def look(
        self, client: Client, its_class: FineTuneClass, request: NodeRequest
    ) -> Provision:
        """Reads pools and their nodes. Where Azure does not tell, the job may hold something."""
        try:
            pools, answers = await self._agent_pools.look(_cluster(its_class))
        except AgentPoolsUnreadError as failure:
            told = f"the agent pools of {_title(its_class)} cannot be read: {failure}; tried again"
            return Provision(
                ready=False,
                held=True,
                reason=row_of(failure.error).reason,
                message=f"{told} in {failure.again:.0f} s",
                requeue_after=min(failure.again, LOOK_SECONDS),
            )
        members = Members(await _nodes(client, held(request, pools)))
        seen = Seen(pools, answers, members, self._agent_pools.now())
        return decide(its_class, request, seen)

    async def leftovers(self, client: Client, its_class: FineTuneClass) -> list[Leftover]:
        """Pools of the class that nobody will give back; see sweep.py.

        Raises:
            ApiError: the API server does not tell.
        """
        try:
            pools, answers = await self._agent_pools.look(_cluster(its_class))
        except AgentPoolsUnreadError as failure:
            _log.warning("agent pools of %s: %s", _title(its_class), failure)
            return []
        owners = sweep.owners(its_class, pools)
        lost = await gone(client, owners)
        # Jobs are looked at after the pools: a pool that was made since is not among them.
        seen = Seen(pools, answers, Members(()), self._agent_pools.now())
        return sweep.leftovers(its_class, seen, lost)


def _cluster(its_class: FineTuneClass) -> ManagedCluster:
    return body.cluster_of(body.settings_of(its_class))


def _title(its_class: FineTuneClass) -> str:
    settings = body.settings_of(its_class)
    return f"AKS cluster {settings.resource_group}/{settings.cluster}"


async def _nodes(client: Client, own: list[AgentPool]) -> list[JsonObject]:
    if not own:
        return []
    pools = ",".join(sorted(pool.name for pool in own))
    return await client.list_objects(NODE, labels=f"{AGENT_POOL} in ({pools})")
