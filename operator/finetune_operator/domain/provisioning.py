"""What getting nodes means to a job, wherever they come from.

The files of nodes/ look at the provider and fill in a Provision; the lifecycle only carries it out.
So neither knows the other.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from finetune_operator.api.reason import Reason
from finetune_operator.domain.actions import Action


@dataclass(frozen=True, slots=True)
class Offer:
    """One way to get a node."""

    instance_type: str
    """The provider's name of a machine size, such as Standard_NC24ads_A100_v4; empty: any, where
    the provisioner chooses by what the pods need."""
    spot: bool
    """Whether it is cheaper and may be taken back at any moment."""

    @property
    def capacity_type(self) -> Literal["OnDemand", "Spot"]:
        """As the status names it."""
        return "Spot" if self.spot else "OnDemand"

    def __str__(self) -> str:
        name = self.instance_type or "any instance type"
        return f"{name} (Spot)" if self.spot else name


@dataclass(frozen=True, slots=True)
class Refusal:
    """An offer that the provider does not fulfil for now."""

    offer: Offer
    reason: Reason
    """InsufficientCapacity or NodeQuotaExceeded."""
    message: str
    """The provider's own, with its code."""
    seconds: float
    """After which it is worth asking again."""


@dataclass(frozen=True, slots=True)
class NodeRequest:
    """What one job asks its provisioner for. Pure data; any call may be the first or a repeat."""

    namespace: str
    job: str
    uid: str
    """Of the job: whatever is made for it carries this, so that nobody else's is ever deleted."""
    nodes: int
    gpus_per_node: int
    """0 on CPU."""
    offers: tuple[Offer, ...]
    """In order of preference, without those that were refused lately."""
    wanted: bool
    """False: whatever the job holds is to be given back; no pod of it runs any more."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """For charge-back: to be put on whatever costs."""
    waiting_since: datetime | None = None
    """Since when a pod that is to train has no node; None: no pod waits for one."""
    fewest: int | None = None
    """With how few the job goes on where no more can be had, and which are to be kept for that;
    None: only with all."""

    def will_do(self, ready: int) -> bool:
        """Whether so few are of use to the job, though it has asked for more."""
        return self.fewest is not None and self.fewest <= ready < self.nodes


@dataclass(frozen=True, slots=True)
class Placement:
    """What makes the pods of an attempt land on the nodes that were got for them."""

    node_selector: Mapping[str, str] = field(default_factory=dict)
    requirements: tuple[Mapping[str, Any], ...] = ()
    """Terms for requiredDuringSchedulingIgnoredDuringExecution: {key, operator, values}."""
    preferences: tuple[tuple[Mapping[str, Any], ...], ...] = ()
    """Alternatives within the requirements, the best first; each has terms as they have."""
    tolerations: tuple[Mapping[str, Any], ...] = ()
    annotations: Mapping[str, str] = field(default_factory=dict)
    """Of the pods."""


ANYWHERE = Placement()


@dataclass(frozen=True, slots=True)
class Provision:
    """How far the nodes of a job are, and what would bring them further."""

    ready: bool
    """Pods may be created: their nodes are there, or come by themselves because of the pods."""
    held: bool
    """Something that is the job's exists at the provider, and may cost."""
    reason: Reason
    """Of the condition NodesReady."""
    message: str
    """For people: what is there or being waited for, since when, and what is next."""
    actions: tuple[Action, ...] = ()
    """Towards `wanted`: to get nodes, or to give them back."""
    nodes: int | None = None
    """How many of them can take a pod; None where they come with the pods."""
    offer: Offer | None = None
    """What is held, or being made."""
    placement: Placement = ANYWHERE
    refusals: tuple[Refusal, ...] = ()
    """Offers that have just been refused; remembered in the job's status until they are due."""
    requeue_after: float | None = None
    """Seconds after which to look again although nothing was seen to change."""


EXISTING = Provision(ready=True, held=False, reason=Reason.SCHEDULED, message="")
"""Of a job that uses the nodes that there are."""
