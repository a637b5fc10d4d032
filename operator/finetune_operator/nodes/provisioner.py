"""What a provisioner is: it looks at what a job holds, and says what brings it further.

A further provisioner is a file here, one line in Provisioners, and its settings in
api/fine_tune_class.py. Looking is I/O; what it makes of what it sees is a pure function beside it.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from finetune_operator.api.fine_tune_class import FineTuneClass
from finetune_operator.cluster.client import Client
from finetune_operator.domain.provisioning import NodeRequest, Provision
from finetune_operator.nodes.leftovers import Leftover

INSTANCE_TYPE = "node.kubernetes.io/instance-type"
"""Label of every node that a cloud has made."""
EVENTS_NAMESPACE = "default"
"""Where events about objects without a namespace are kept."""
NO_CAPACITY = "InsufficientCapacityError"
"""Reason of the event about a NodeClaim that cannot be fulfilled; the claim itself goes."""


class Provisioner(Protocol):
    """One way to get nodes."""

    async def look(
        self, client: Client, its_class: FineTuneClass, request: NodeRequest
    ) -> Provision:
        """How far the nodes of the request are, and what brings them further.

        Changes nothing: what is to be done is in the result's actions, each of which may be
        carried out twice without harm. What it says depends on what exists, not on what it said
        before: the operator may have been started a moment ago.

        Raises:
            ApiError: something could not be read; the caller asks again later.
        """
        ...

    async def leftovers(self, client: Client, its_class: FineTuneClass) -> list[Leftover]:
        """What was made for jobs of the class, or for any, and that nobody will give back.

        Raises:
            ApiError: the API server does not tell.
        """
        ...


def of_types(types: Sequence[str]) -> tuple[Mapping[str, Any], ...]:
    """Requirements of nodes of one of these instance types; none where none is named."""
    if not types:
        return ()
    return (one_of(INSTANCE_TYPE, types),)


def one_of(label: str, values: Sequence[str]) -> Mapping[str, Any]:
    """A requirement, each value once."""
    return {"key": label, "operator": "In", "values": list(dict.fromkeys(values))}
