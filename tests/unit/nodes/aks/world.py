"""Jobs, an operator that gets nodes for them, Azure and Kubernetes; all but the jobs over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from finetune_operator.api.fine_tune_class import FineTuneClass
from finetune_operator.cluster.client import Client
from finetune_operator.domain.actions import Action, DeleteAgentPool, PutAgentPool
from finetune_operator.domain.provisioning import NodeRequest, Offer, Provision
from finetune_operator.nodes.aks.client import AgentPools
from finetune_operator.nodes.aks.identity import Session
from finetune_operator.nodes.aks.provisioner import AKSNodes
from finetune_operator.nodes.leftovers import Leftover
from tests.arm.cluster import FakeCluster
from tests.arm.kubernetes import Kubernetes, api_server
from tests.arm.server import ArmServer, serving
from tests.unit.nodes.aks.builders import Clock
from tests.unit.nodes.builders import LARGE


@dataclass
class Job:
    """What the lifecycle knows of a job, as far as it concerns nodes."""

    name: str
    offers: tuple[Offer, ...] = (LARGE,)
    nodes: int = 1
    fewest: int | None = None
    wanted: bool = True
    unavailable: dict[Offer, datetime] = field(default_factory=dict)
    provision: Provision | None = None
    due: datetime | None = None

    @property
    def uid(self) -> str:
        """Of the FineTuneJob."""
        return f"uid-of-{self.name}"

    def request(self, now: datetime) -> NodeRequest:
        """Without what was refused lately."""
        return NodeRequest(
            namespace="team",
            job=self.name,
            uid=self.uid,
            nodes=self.nodes,
            gpus_per_node=1,
            offers=tuple(o for o in self.offers if self.unavailable.get(o, now) <= now),
            wanted=self.wanted,
            fewest=self.fewest,
            labels={"finetune.dev/namespace": "team", "finetune.dev/job": self.name},
        )


@dataclass
class World:
    """One class, one cluster."""

    its_class: FineTuneClass
    clock: Clock
    cluster: FakeCluster
    arm: ArmServer
    kubernetes: Kubernetes
    client: Client
    connect: Callable[[str], Session]
    agent_pools: AgentPools

    @property
    def provisioner(self) -> AKSNodes:
        """Of the operator that runs now."""
        return AKSNodes(self.agent_pools)

    def job(self, name: str, **fields: Any) -> Job:
        """A FineTuneJob that exists."""
        made = Job(name, **fields)
        self.kubernetes.jobs["team", name] = made.uid
        return made

    async def restart(self) -> None:
        """Another operator, which has seen nothing yet."""
        await self.agent_pools.close()
        self.agent_pools = AgentPools(self.connect, self.clock)

    async def look(self, job: Job) -> Provision:
        """One reconciliation of a job."""
        request = job.request(self.clock())
        found = await self.provisioner.look(self.client, self.its_class, request)
        for refusal in found.refusals:
            until = self.clock() + timedelta(seconds=refusal.seconds)
            job.unavailable[refusal.offer] = until
        for action in found.actions:
            await self.carry_out(action)
        job.provision = found
        job.due = self.clock() + timedelta(seconds=found.requeue_after or 10)
        return found

    async def carry_out(self, action: Action) -> None:
        """As the runtime does."""
        if isinstance(action, PutAgentPool):
            await self.agent_pools.put(action)
        elif isinstance(action, DeleteAgentPool):
            await self.agent_pools.delete(action)
        else:
            raise TypeError(f"not an action about agent pools: {action}")

    async def until(
        self, job: Job, holds: Callable[[Provision], bool], seconds: float = 3600
    ) -> Provision:
        """Looks whenever it is due, until that is so."""
        await self.all_until([job], holds, seconds)
        assert job.provision is not None
        return job.provision

    async def all_until(
        self, jobs: list[Job], holds: Callable[[Provision], bool], seconds: float = 3600
    ) -> None:
        """The same for many, four at a time as the operator's workers are."""
        end = self.clock() + timedelta(seconds=seconds)
        left = list(jobs)
        while left:
            now = self.clock()
            assert now < end, f"in vain: {left[0].provision}"
            ready = [job for job in left if job.due is None or job.due <= now]
            for first in range(0, len(ready), 4):
                await asyncio.gather(*(self.look(job) for job in ready[first : first + 4]))
            left = [job for job in left if job.provision is None or not holds(job.provision)]
            if soonest := min((job.due for job in left if job.due), default=None):
                self.clock.forward(max(1.0, (soonest - now).total_seconds()))

    async def sweep(self) -> list[Leftover]:
        """One round of the operator's sweep."""
        found = await self.provisioner.leftovers(self.client, self.its_class)
        for each in found:
            for action in each.actions:
                await self.carry_out(action)
        return found


@asynccontextmanager
async def a_world(folder: Path, its_class: FineTuneClass, **server: Any) -> AsyncIterator[World]:
    """With an empty cluster."""
    clock = Clock()
    cluster = FakeCluster(clock)
    arm = ArmServer(cluster, clock, **server)
    kubernetes = Kubernetes(cluster.nodes)
    async with serving(arm, folder) as connect, api_server(kubernetes) as client:
        world = World(
            its_class,
            clock,
            cluster,
            arm,
            kubernetes,
            client,
            connect,
            AgentPools(connect, clock),
        )
        try:
            yield world
        finally:
            await world.agent_pools.close()


def ready(provision: Provision) -> bool:
    """Pods may be created."""
    return provision.ready


def nothing_held(provision: Provision) -> bool:
    """The finalizer may go."""
    return not provision.held
