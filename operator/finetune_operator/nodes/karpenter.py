"""Provisioner Karpenter: nodes that it makes because pods need them.

The pods say what they need: instance types, capacity types, NodePools. Where one has no capacity,
Karpenter itself turns to the next. Left alone it takes the cheapest. What holds it to the user's
order is a preferred node affinity: it obeys the heaviest term, and where that cannot be had gives
up one after the other (pkg/controllers/provisioning/scheduling/preferences.go).

NodePools of our own are made only where the class says so, because they stand beside the limits
that the platform team has set for others.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from finetune_operator.api.fine_tune_class import FineTuneClass
from finetune_operator.api.provisioner import Karpenter, OwnNodePools
from finetune_operator.api.reason import Reason
from finetune_operator.cluster.client import Client
from finetune_operator.cluster.errors import ForbiddenError, NotFoundError
from finetune_operator.domain import names
from finetune_operator.domain.actions import Apply, Delete, JsonObject
from finetune_operator.domain.kinds import EVENT, NODE, NODE_CLAIM, NODE_POOL
from finetune_operator.domain.provisioning import NodeRequest, Offer, Placement, Provision
from finetune_operator.nodes.karpenter_claims import progress
from finetune_operator.nodes.leftovers import Leftover, objects_left
from finetune_operator.nodes.provisioner import (
    EVENTS_NAMESPACE,
    INSTANCE_TYPE,
    NO_CAPACITY,
    of_types,
    one_of,
)

_POOL = "karpenter.sh/nodepool"
_CAPACITY = "karpenter.sh/capacity-type"
_KEPT = {"karpenter.sh/do-not-disrupt": "true"}
"""Karpenter moves no pod that trains to a cheaper node; it would train the last minutes again."""
_EMPTY_SECONDS = 30


class KarpenterNodes:
    """NodePools that there are, or one for each job."""

    async def look(
        self, client: Client, its_class: FineTuneClass, request: NodeRequest
    ) -> Provision:
        """Nodes come with the pods: ready as soon as the job's own NodePool is there, if it is to
        have one."""
        settings = its_class.spec.provisioner.karpenter or Karpenter()
        if settings.own_node_pools is None:
            found = _with_the_pods(placement(settings, request))
            pools = settings.node_pools
        else:
            live = await client.get(NODE_POOL, None, pool_name(request))
            found = own(settings.own_node_pools, request, live)
            pools = (pool_name(request),)
        if not found.ready or request.waiting_since is None:
            return found
        return await _explained(client, pools, request.waiting_since, found)

    async def leftovers(self, client: Client, its_class: FineTuneClass) -> list[Leftover]:
        """NodePools of jobs that are gone; their nodes go with them."""
        settings = its_class.spec.provisioner.karpenter
        if settings is None or settings.own_node_pools is None:
            return []
        return await objects_left(client, NODE_POOL)


async def _explained(
    client: Client, pools: Sequence[str], since: datetime, found: Provision
) -> Provision:
    """With what Karpenter says of the nodes that a pod waits for."""
    try:
        claims, events = await asyncio.gather(
            _claims(client),
            client.list_objects(EVENT, EVENTS_NAMESPACE, fields=f"reason={NO_CAPACITY}"),
        )
    except NotFoundError:
        message = "the cluster knows no NodeClaim: install Karpenter, or use another FineTuneClass"
        return replace(found, reason=Reason.PROVISIONING_FAILED, message=message)
    told = progress(pools, since, claims, events)
    return found if told is None else replace(found, reason=told[0], message=told[1])


async def _claims(client: Client) -> list[JsonObject]:
    """None where reading them is not allowed: pods get their nodes all the same."""
    try:
        return await client.list_objects(NODE_CLAIM)
    except ForbiddenError:
        return []


def placement(settings: Karpenter, request: NodeRequest) -> Placement:
    """Of pods that may use the NodePools that there are."""
    types = [offer.instance_type for offer in request.offers if offer.instance_type]
    pools = (one_of(_POOL, settings.node_pools),) if settings.node_pools else ()
    return Placement(
        requirements=(*pools, *of_types(types), one_of(_CAPACITY, _capacity(request))),
        preferences=_preferences(request),
        annotations=_KEPT,
    )


def own(settings: OwnNodePools, request: NodeRequest, live: JsonObject | None) -> Provision:
    """With a NodePool of the job's own.

    Args:
        live: what has the name of the job's NodePool.
    """
    name, place = (
        pool_name(request),
        Placement(
            node_selector={_POOL: pool_name(request)},
            preferences=_preferences(request),
            tolerations=({"key": names.JOB_UID, "operator": "Exists", "effect": "NoSchedule"},),
            annotations=_KEPT,
        ),
    )
    ours = live is not None and live["metadata"].get("labels", {}).get(names.JOB_UID) == request.uid
    if not request.wanted:
        if live is None or not ours:
            return Provision(False, False, Reason.RELEASED, f"NodePool {name} is gone")
        gone = Delete(NODE_POOL, "", name, live["metadata"]["uid"])
        message = f"NodePool {name} is being removed, and its nodes with it"
        return Provision(False, True, Reason.RELEASING, message, actions=(gone,))
    if live is None or not ours or "deletionTimestamp" in live["metadata"]:
        message = f"NodePool {name} is being made"
        made = Apply(node_pool(settings, request))
        actions = (made,) if live is None else ()
        return Provision(False, ours, Reason.PROVISIONING, message, actions, requeue_after=2)
    if wrong := _wrong(live):
        message = f"NodePool {name} is not ready: {wrong}"
        return Provision(False, True, Reason.PROVISIONING, message)
    return Provision(True, True, Reason.SCHEDULED, f"NodePool {name} is there", placement=place)


def _wrong(pool: JsonObject) -> str:
    """Why Karpenter makes no node of a NodePool, such as a NodeClass that is not there."""
    conditions = pool.get("status", {}).get("conditions") or ()
    false = {each["type"]: each for each in conditions if each["status"] == "False"}
    ready = false.pop("Ready", None)
    if ready is None:
        return ""
    said = [f"{kind}: {each['message']}" for kind, each in false.items() if each["message"]]
    return "; ".join(said) or str(ready["message"])


def node_pool(settings: OwnNodePools, request: NodeRequest) -> JsonObject:
    """For this job only, by a taint; its nodes go soon after the last pod."""
    labels = {names.MANAGED_BY: names.OPERATOR, names.JOB_UID: request.uid}
    types = [offer.instance_type for offer in request.offers if offer.instance_type]
    template = {
        "metadata": {"labels": {**labels, **request.labels}},
        "spec": {
            "nodeClassRef": settings.node_class_ref.to_dict(),
            "requirements": [
                one_of("kubernetes.io/os", ["linux"]),
                *of_types(types),
                one_of(_CAPACITY, _capacity(request)),
            ],
            "taints": [{"key": names.JOB_UID, "value": request.uid, "effect": "NoSchedule"}],
            "expireAfter": "Never",
        },
    }
    return {
        "apiVersion": NODE_POOL.api_version,
        "kind": NODE_POOL.name,
        "metadata": {"name": pool_name(request), "labels": {**labels, **request.labels}},
        "spec": {
            "template": template,
            "disruption": {
                "consolidationPolicy": "WhenEmpty",
                "consolidateAfter": f"{_EMPTY_SECONDS}s",
            },
        },
    }


def pool_name(request: NodeRequest) -> str:
    """A label's value on nodes too, for which it is short enough."""
    return f"finetune-{request.uid}"


def _with_the_pods(place: Placement) -> Provision:
    message = "nodes come with the pods"
    return Provision(True, False, Reason.SCHEDULED, message, placement=place)


def _capacity(request: NodeRequest) -> list[str]:
    return ["spot" if offer.spot else "on-demand" for offer in request.offers] or ["on-demand"]


async def machine_of(client: Client, node: str) -> Offer | None:
    """What a node that Karpenter has made is; None if it is gone, or does not say."""
    found = await client.get(NODE, None, node)
    labels = found["metadata"].get("labels", {}) if found else {}
    instance_type = labels.get(INSTANCE_TYPE)
    return Offer(instance_type, spot=labels.get(_CAPACITY) == "spot") if instance_type else None


def _preferences(request: NodeRequest) -> tuple[tuple[Mapping[str, Any], ...], ...]:
    """Every offer but the last, which is what is left when all others are given up."""
    return tuple(
        (
            *of_types([offer.instance_type] if offer.instance_type else []),
            one_of(_CAPACITY, ["spot" if offer.spot else "on-demand"]),
        )
        for offer in request.offers[:-1]
    )
