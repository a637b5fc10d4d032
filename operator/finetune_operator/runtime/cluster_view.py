"""What is known of the cluster outside of namespaces: classes, nodes, storage and priorities.

An operator of the whole cluster reads them. One that was given namespaces may not, and does
without: its classes are in a file that the chart makes, and the rest is taken to be unknown.
"""

from collections.abc import Mapping
from typing import Protocol

from finetune_operator.api.fine_tune_class import FineTuneClass
from finetune_operator.cluster.client import Client
from finetune_operator.cluster.shared import SharedReading
from finetune_operator.domain.actions import JsonObject
from finetune_operator.domain.kinds import FINE_TUNE_CLASS, PRIORITY_CLASS
from finetune_operator.nodes import existing


class ClusterView(Protocol):
    """Each may raise an ApiError: what is asked could not be read."""

    async def class_named(self, name: str) -> FineTuneClass | None:
        """The class as it is now, or None if there is none."""
        ...

    async def classes(self) -> list[JsonObject]:
        """All of them, as they are stored."""
        ...

    async def priorities(self) -> list[JsonObject]:
        """All PriorityClasses that are known."""
        ...

    async def has_gpu_nodes(self) -> bool:
        """Whether any node offers an NVIDIA GPU."""
        ...

    async def gpu_memory(self) -> int | None:
        """Bytes of the smallest NVIDIA GPU; None where that is not known."""
        ...

    async def is_lost(self, node: str) -> bool:
        """Whether a node is known not to answer, or to be no more."""
        ...

    async def storage_is_shared(self, storage_class: str | None) -> bool | None:
        """Whether several nodes can mount a volume of the class; None where it is not known."""
        ...


class WholeCluster:
    """As it is read."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._classes = SharedReading(self._class_named)

    async def class_named(self, name: str) -> FineTuneClass | None:
        """See ClusterView. There are few, and very many jobs may ask at once."""
        return await self._classes.get(name)

    async def _class_named(self, name: str) -> FineTuneClass | None:
        found = await self._client.get(FINE_TUNE_CLASS, None, name)
        return FineTuneClass.from_stored(found) if found else None

    async def classes(self) -> list[JsonObject]:
        """See ClusterView."""
        return await self._client.list_objects(FINE_TUNE_CLASS)

    async def priorities(self) -> list[JsonObject]:
        """See ClusterView."""
        return await self._client.list_objects(PRIORITY_CLASS)

    async def has_gpu_nodes(self) -> bool:
        """See ClusterView."""
        return await existing.has_gpu_nodes(self._client)

    async def gpu_memory(self) -> int | None:
        """See ClusterView."""
        return await existing.gpu_memory(self._client)

    async def is_lost(self, node: str) -> bool:
        """See ClusterView."""
        return await existing.is_lost(self._client, node)

    async def storage_is_shared(self, storage_class: str | None) -> bool | None:
        """See ClusterView."""
        return await existing.storage_is_shared(self._client, storage_class)


class NamespacesOnly:
    """Nothing is read: it is what was given when the operator was installed."""

    def __init__(self, classes: Mapping[str, FineTuneClass], gpu_memory: int | None) -> None:
        """
        Args:
            gpu_memory: bytes of the smallest NVIDIA GPU of the nodes; None: there is no such node.
        """
        self._classes = classes
        self._gpu_memory = gpu_memory

    async def class_named(self, name: str) -> FineTuneClass | None:
        """See ClusterView."""
        return self._classes.get(name)

    async def classes(self) -> list[JsonObject]:
        """See ClusterView."""
        return [each.to_dict() for each in self._classes.values()]

    async def priorities(self) -> list[JsonObject]:
        """None is known: those who wait are of one priority."""
        return []

    async def has_gpu_nodes(self) -> bool:
        """See ClusterView."""
        return self._gpu_memory is not None

    async def gpu_memory(self) -> int | None:
        """See ClusterView."""
        return self._gpu_memory

    async def is_lost(self, node: str) -> bool:
        """Never for certain: Kubernetes takes the pod away once the node is deleted."""
        del node
        return False

    async def storage_is_shared(self, storage_class: str | None) -> bool | None:
        """Not known: a claim that cannot be mounted stays pending and says why."""
        del storage_class
        return None
