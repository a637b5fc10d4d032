"""What agent pools are asked to be. Whole objects: ARM replaces all of a pool's properties."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from finetune_operator.api.fine_tune_class import FineTuneClass
from finetune_operator.api.provisioner import AKS
from finetune_operator.domain.actions import ManagedCluster, PutAgentPool
from finetune_operator.domain.provisioning import NodeRequest, Offer, Placement
from finetune_operator.nodes.aks.agent_pool import (
    AGENT_POOL,
    ASKED,
    CLASS_UID,
    JOB,
    JOB_UID,
    OURS,
    RELEASED,
    AgentPool,
    pool_name,
)

TAINT = "finetune.dev/agent-pool"
"""Keeps every pod away from the nodes of a job but its own; the value is the pool's name, which
stays the same when another job takes the pool over."""
SPOT_TAINT = "kubernetes.azure.com/scalesetpriority=spot:NoSchedule"
"""AKS puts it on spot nodes by itself; said here too, so that the pool is as it was asked for."""

_READ_ONLY = (
    "eTag",
    "provisioningState",
    "status",
    "currentOrchestratorVersion",
    "nodeImageVersion",
)
_RESERVED = ("kubernetes.io", "k8s.io", "kubernetes.azure.com")
"""Domains of labels that kubelets and AKS let nobody else put on a node."""


def made(
    its_class: FineTuneClass, request: NodeRequest, offer: Offer, now: datetime
) -> PutAgentPool:
    """A pool for this job, which must not be there yet."""
    settings, name = settings_of(its_class), pool_name(request.uid, offer)
    owned = {**_tags(request, now), CLASS_UID: its_class.metadata.uid}
    properties: dict[str, Any] = {
        "mode": "User",
        "type": "VirtualMachineScaleSets",
        "osType": "Linux",
        "vmSize": offer.instance_type,
        "count": request.nodes,
        "enableAutoScaling": False,
        "nodeLabels": _node_labels(request),
        "nodeTaints": [f"{TAINT}={name}:NoSchedule"],
        "tags": owned,
    }
    if offer.spot:
        properties["scaleSetPriority"] = "Spot"
        properties["scaleSetEvictionPolicy"] = "Delete"
        # -1: never evicted because of the price, which is at most that of on demand.
        properties["spotMaxPrice"] = -1
        properties["nodeTaints"].append(SPOT_TAINT)
    properties |= _of_class(settings, request, spot=offer.spot)
    return PutAgentPool(cluster_of(settings), name, properties, etag="")


def scaled(settings: AKS, pool: AgentPool, request: NodeRequest, now: datetime) -> PutAgentPool:
    """The job's own pool, with as many nodes as asked: also when some were taken away."""
    return _changed(settings, pool, count=request.nodes, tags={**pool.tags, ASKED: _text(now)})


def taken(settings: AKS, pool: AgentPool, request: NodeRequest, now: datetime) -> PutAgentPool:
    """A pool that waits for a job, or one of the platform team's at 0 nodes, for this job. The
    latter keeps its own tags and labels: it is theirs, also on the bill."""
    if pool.made_for is None:
        tags = {**pool.tags, **_owner_tags(request, now)}
        return _changed(settings, pool, count=request.nodes, tags=tags)
    tags = {CLASS_UID: pool.made_for, **_tags(request, now)}
    labels = _node_labels(request)
    return _changed(settings, pool, count=request.nodes, tags=tags, nodeLabels=labels)


def released(settings: AKS, pool: AgentPool, now: datetime) -> PutAgentPool:
    """A pool that we have made, without a job: its nodes wait for another."""
    left = {tag: value for tag, value in pool.tags.items() if tag not in (JOB_UID, ASKED)}
    return _changed(settings, pool, count=pool.count, tags={**left, RELEASED: _text(now)})


def emptied(settings: AKS, pool: AgentPool, now: datetime) -> PutAgentPool:
    """A pool of the platform team's at no nodes; still the job's until they are gone."""
    return _changed(settings, pool, count=0, tags={**pool.tags, ASKED: _text(now)})


def left(settings: AKS, pool: AgentPool) -> PutAgentPool:
    """A pool of the platform team's as it was before: without any of our tags."""
    theirs = {tag: value for tag, value in pool.tags.items() if tag not in OURS}
    return _changed(settings, pool, count=pool.count, tags=theirs)


def placement(pool: AgentPool) -> Placement:
    """Of pods that have the pool's nodes to themselves."""
    return Placement(
        node_selector={AGENT_POOL: pool.name},
        tolerations=tuple(_toleration(taint) for taint in pool.taints),
    )


def fits(settings: AKS, pool: AgentPool, request: NodeRequest, offer: Offer) -> bool:
    """Whether a pool is what would be made for the job."""
    wanted = _of_class(settings, request, spot=offer.spot)
    told = {*wanted, "capacityReservationGroupID", "gpuInstanceProfile"}
    # ARM does not keep the case of resource ids.
    return pool.is_of(offer) and all(
        str(pool.properties.get(key) or "").casefold() == wanted.get(key, "").casefold()
        for key in told
    )


def settings_of(its_class: FineTuneClass) -> AKS:
    """Of a class of type AKS."""
    settings = its_class.spec.provisioner.aks
    if settings is None:
        raise ValueError("spec.provisioner.aks is absent, which the API server refuses")
    return settings


def cluster_of(settings: AKS) -> ManagedCluster:
    """The cluster whose pools these are."""
    return ManagedCluster(settings.subscription_id, settings.resource_group, settings.cluster)


def _of_class(settings: AKS, request: NodeRequest, *, spot: bool) -> dict[str, str]:
    found = {"vnetSubnetID": settings.vnet_subnet_id}
    # A reservation is paid for at the full price; spot machines cannot be taken from it.
    found["capacityReservationGroupID"] = "" if spot else settings.capacity_reservation_group
    divided = settings.gpu_instance_profile if request.gpus_per_node else None
    found["gpuInstanceProfile"] = divided or ""
    return {key: value for key, value in found.items() if value}


def _changed(
    settings: AKS, pool: AgentPool, *, count: int, tags: Mapping[str, str], **others: Any
) -> PutAgentPool:
    kept = {key: value for key, value in pool.properties.items() if key not in _READ_ONLY}
    properties = {**kept, **others, "count": count, "tags": dict(tags)}
    return PutAgentPool(cluster_of(settings), pool.name, properties, pool.etag)


def _tags(request: NodeRequest, now: datetime) -> dict[str, str]:
    # Names of tags bear no slash.
    charged = {label.replace("/", "."): value for label, value in request.labels.items()}
    return {**charged, **_owner_tags(request, now)}


def _owner_tags(request: NodeRequest, now: datetime) -> dict[str, str]:
    return {
        JOB_UID: request.uid,
        JOB: f"{request.namespace}/{request.job}",
        ASKED: _text(now),
    }


def _node_labels(request: NodeRequest) -> dict[str, str]:
    return {label: value for label, value in request.labels.items() if not _is_reserved(label)}


def _is_reserved(label: str) -> bool:
    domain, _, name = label.rpartition("/")
    return bool(name) and any(domain == each or domain.endswith(f".{each}") for each in _RESERVED)


def _toleration(taint: str) -> dict[str, str]:
    rest, _, effect = taint.rpartition(":")
    key, _, value = rest.partition("=")
    matched = {"operator": "Equal", "value": value} if value else {"operator": "Exists"}
    return {"key": key, **matched, "effect": effect}


def _text(now: datetime) -> str:
    return now.isoformat(timespec="seconds")
