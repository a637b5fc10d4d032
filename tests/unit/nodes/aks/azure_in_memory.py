"""An operator's requests and Azure's answers without a network: many histories in little time."""

from __future__ import annotations

from finetune_operator.domain.actions import DeleteAgentPool, PutAgentPool
from finetune_operator.nodes.aks.agent_pool import agent_pool
from finetune_operator.nodes.aks.errors import parsed
from finetune_operator.nodes.aks.members import Members
from finetune_operator.nodes.aks.seen import Answer, Seen
from tests.arm.cluster import FakeCluster, RefusedError


class AzureInMemory:
    """One cluster, and what one operator remembers of its answers."""

    def __init__(self, cluster: FakeCluster) -> None:
        self.cluster = cluster
        self.answers: dict[str, Answer] = {}

    def seen(self) -> Seen:
        """What there is now."""
        pools = [agent_pool(each) for each in self.cluster.all()]
        return Seen(pools, self.answers, Members(self.cluster.nodes()), self.cluster.now())

    def carry_out(self, action: PutAgentPool | DeleteAgentPool) -> None:
        """One request."""
        try:
            if isinstance(action, DeleteAgentPool):
                self.cluster.delete(action.name, if_match=action.etag)
            else:
                self.cluster.put(
                    action.name,
                    {"properties": dict(action.properties)},
                    if_match=action.etag,
                    if_none_match="" if action.etag else "*",
                )
        except RefusedError as refused:
            wait = float(refused.headers["Retry-After"]) if refused.headers else None
            error = parsed(refused.status, refused.body, wait)
            self.answers[action.name] = Answer(self.cluster.now(), error)
        else:
            self.answers.pop(action.name, None)
