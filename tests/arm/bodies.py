"""Whether ARM could understand a body: by the models of Azure's own SDK."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from azure.mgmt.containerservice import models
from azure.mgmt.containerservice.models import (
    AgentPoolManagedClusterAgentPoolProfileProperties as Properties,
)

CHOICES = {
    "mode": models.AgentPoolMode,
    "type": models.AgentPoolType,
    "osType": models.OSType,
    "scaleSetPriority": models.ScaleSetPriority,
    "scaleSetEvictionPolicy": models.ScaleSetEvictionPolicy,
    "gpuInstanceProfile": models.GPUInstanceProfile,
}
PRIMITIVES = {
    "count": int,
    "vmSize": str,
    "enableAutoScaling": bool,
    "nodeLabels": dict,
    "nodeTaints": list,
    "tags": dict,
    "spotMaxPrice": (int, float),
    "capacityReservationGroupID": str,
    "vnetSubnetID": str,
}


def complaint(properties: Mapping[str, Any]) -> str:
    """What the model does not know, or lets nobody write; empty where all is well."""
    pool = models.AgentPool({"properties": dict(properties)})
    writable = pool.as_dict(exclude_readonly=True)["properties"]
    fields = {field._rest_name for field in Properties._attr_to_rest_field.values()}
    for key, value in properties.items():
        if key not in fields:
            return f"{key} is unknown"
        if key not in writable:
            return f"{key} is read-only"
        if key in CHOICES and value not in [each.value for each in CHOICES[key]]:
            return f"{key} cannot be {value}"
        if key in PRIMITIVES and not isinstance(value, PRIMITIVES[key]):
            return f"{key} cannot be {value!r}"
    return _rules(properties)


def _rules(properties: Mapping[str, Any]) -> str:
    """What Azure documents besides, and no model says."""
    if not properties.get("vmSize"):
        return "vmSize is missing"
    if not 0 <= properties.get("count", -1) <= 1000:
        return "count has to be from 0 to 1000"
    spot = properties.get("scaleSetPriority") == "Spot"
    if spot and properties.get("capacityReservationGroupID"):
        return "a reservation is not for spot"
    for tag, value in properties.get("tags", {}).items():
        if set(tag) & set("<>%&\\?/") or len(value) > 256:
            return f"tag {tag} is not allowed"
    for label in properties.get("nodeLabels", {}):
        domain = label.rpartition("/")[0]
        if f".{domain}".endswith((".kubernetes.io", ".k8s.io", ".kubernetes.azure.com")):
            return f"label {label} is reserved"
    return ""
