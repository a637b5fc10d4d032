"""Objects that nobody answers for any more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tests.cluster.kube import Object
from tests.cluster.simulation.api import Api

NAMESPACED = {
    "finetunejobs": "apis/finetune.dev/v1beta1",
    "inferenceworkspaces": "apis/finetune.dev/v1beta1",
    "inferencerevisions": "apis/finetune.dev/v1beta1",
    "jobs": "apis/batch/v1",
    "deployments": "apis/apps/v1",
    "replicasets": "apis/apps/v1",
    "poddisruptionbudgets": "apis/policy/v1",
    "pods": "api/v1",
    "persistentvolumeclaims": "api/v1",
    "configmaps": "api/v1",
    "services": "api/v1",
}
VOLUMES = "persistentvolumes"
EVERYWHERE = {"kube-root-ca.crt"}
"""What Kubernetes puts into each namespace."""
OWNERLESS = ("finetunejobs", "inferenceworkspaces")
"""What people apply."""


async def objects(api: Api, namespace: str) -> dict[str, list[Object]]:
    """All of a namespace, by the plural of their kind; with the volumes of its claims."""
    volumes = [
        each
        for each in await api.items("/api/v1/persistentvolumes")
        if each["spec"].get("claimRef", {}).get("namespace") == namespace
        and "simulated" not in each["metadata"].get("labels", {})  # those are the test's own
    ]
    found = {
        plural: [
            each
            for each in await api.items(f"/{group}/namespaces/{namespace}/{plural}")
            if each["metadata"]["name"] not in EVERYWHERE
        ]
        for plural, group in NAMESPACED.items()
    }
    return {VOLUMES: volumes, **found}


def orphans(found: Mapping[str, list[Object]], served: str) -> Iterator[str]:
    """Whatever has no living owner, does not get away, or still runs when its job is over.

    A revision outlives its job on purpose: see unused_revisions.

    Args:
        served: role of the pods that go on.
    """
    living = {each["metadata"]["uid"] for items in found.values() for each in items}
    for plural, items in found.items():
        for each in items:
            metadata = each["metadata"]
            owners = metadata.get("ownerReferences", [])
            what = f"{plural}/{metadata['name']}"
            over = each.get("status", {}).get("phase") in ("Succeeded", "Failed")
            if "deletionTimestamp" in metadata:
                yield f"{what} is being deleted since {metadata['deletionTimestamp']}"
            if plural == VOLUMES and each["spec"]["claimRef"]["uid"] in living:
                continue
            if plural in OWNERLESS and metadata.get("finalizers") and over:
                yield f"{what} is over and holds {metadata['finalizers']}"
            if plural in (*OWNERLESS, "inferencerevisions"):
                continue
            if not any(owner["uid"] in living for owner in owners):
                yield f"{what} has no living owner: {owners}"
            role = metadata.get("labels", {}).get("finetune.dev/role")
            if plural == "pods" and role != served and not over:
                yield f"{what} is {each['status'].get('phase')}"


def unused_revisions(found: Mapping[str, list[Object]]) -> set[str]:
    """Revisions that no job says it has published, and published ones that are not there."""
    made = {each["metadata"]["name"] for each in found["inferencerevisions"]}
    published = {
        name
        for each in found["finetunejobs"]
        if (name := each["status"].get("published", {}).get("revision"))
    }
    return made ^ published
