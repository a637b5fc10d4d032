"""An agent pool as ARM gives it: how far it is, whose it is, and who may have it."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from finetune_operator.domain.actions import JsonObject
from finetune_operator.domain.provisioning import Offer
from finetune_operator.nodes.aks.errors import ArmError, parsed

AGENT_POOL = "kubernetes.azure.com/agentpool"
"""AKS puts this label on every node: the name of its pool."""
JOB_UID = "finetune-operator-job-uid"
"""Tag: the uid of the FineTuneJob that holds the pool. Names of tags bear no slash."""
JOB = "finetune-operator-job"
"""Tag: its namespace/name."""
CLASS_UID = "finetune-operator-class-uid"
"""Tag of the pools that we have made, and of no other: the uid of their FineTuneClass."""
ASKED = "finetune-operator-asked"
"""Tag: when nodes were asked for last."""
RELEASED = "finetune-operator-released"
"""Tag: when the pool's last job gave it back; from then on its nodes wait for another."""
OURS = (JOB_UID, JOB, CLASS_UID, ASKED, RELEASED)

_OVER = ("Failed", "Canceled")
_NAME_LENGTH = 12


@dataclass(frozen=True, slots=True)
class AgentPool:
    """Name and properties; of the latter nothing is taken for granted."""

    name: str
    properties: Mapping[str, Any]

    @property
    def etag(self) -> str:
        """Changes with the pool. Where ARM gives none, whatever there is will do."""
        return str(self.properties.get("eTag") or "*")

    @property
    def state(self) -> str:
        """provisioningState, a free string: Creating, Succeeded, Failed, Deleting, …"""
        return str(self.properties.get("provisioningState") or "")

    @property
    def is_deleting(self) -> bool:
        """Whether it is on its way out."""
        return self.state == "Deleting"

    @property
    def has_failed(self) -> bool:
        """Whether the last operation on it did not succeed."""
        return self.state in _OVER

    @property
    def is_busy(self) -> bool:
        """Whether an operation is in progress; ARM takes no other one meanwhile."""
        return self.state != "Succeeded" and not self.has_failed

    @property
    def count(self) -> int:
        """How many nodes it is to have."""
        return int(self.properties.get("count") or 0)

    @property
    def vm_size(self) -> str:
        """As ARM spells it."""
        return str(self.properties.get("vmSize") or "")

    @property
    def spot(self) -> bool:
        """Whether its machines may be taken back."""
        return self.properties.get("scaleSetPriority") == "Spot"

    @property
    def is_autoscaled(self) -> bool:
        """Whether the cluster autoscaler decides on its count."""
        return bool(self.properties.get("enableAutoScaling"))

    @property
    def tags(self) -> Mapping[str, str]:
        """Also other people's."""
        return self.properties.get("tags") or {}

    @property
    def taints(self) -> Sequence[str]:
        """key=value:effect, each."""
        return self.properties.get("nodeTaints") or ()

    @property
    def owner(self) -> str | None:
        """The uid of the job that holds it."""
        return self.tags.get(JOB_UID)

    @property
    def made_for(self) -> str | None:
        """The uid of the FineTuneClass that we made it for; None: we did not make it."""
        return self.tags.get(CLASS_UID)

    @property
    def error(self) -> ArmError:
        """Why it failed."""
        status = self.properties.get("status") or {}
        return parsed(
            200, status.get("provisioningError") or {"code": f"ProvisioningState{self.state}"}
        )

    def is_of(self, offer: Offer) -> bool:
        """Whether it is what the offer says; ARM does not keep the case of sizes."""
        same_size = self.vm_size.casefold() == offer.instance_type.casefold()
        return same_size and self.spot == offer.spot

    def offer(self, offers: Sequence[Offer]) -> Offer:
        """Which of the offers it fulfils, or else one that says the same."""
        found = (each for each in offers if self.is_of(each))
        return next(found, Offer(self.vm_size, self.spot))

    def time(self, tag: str) -> datetime | None:
        """When what the tag speaks of was; None where it is absent or somebody wrote into it."""
        try:
            found = datetime.fromisoformat(self.tags.get(tag, ""))
        except ValueError:
            return None
        return found if found.tzinfo else found.replace(tzinfo=UTC)


def agent_pool(answer: JsonObject) -> AgentPool:
    """Of ARM's JSON."""
    return AgentPool(str(answer.get("name") or ""), answer.get("properties") or {})


def pool_name(uid: str, offer: Offer) -> str:
    """The name of the pool that is made for a job: one for each offer, so that the next need not
    wait until the last is deleted."""
    digest = hashlib.sha256(f"{uid}/{offer}".encode()).hexdigest()
    return f"ft{digest}"[:_NAME_LENGTH]
