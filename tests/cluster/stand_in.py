"""Kinds of other projects, served while a test needs them: by their own definitions where these are
beside the repository, else by ones that take anything, which is enough to see the way of a job."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import yaml

from tests.cluster.kube import Kube, Object

BESIDE = Path(__file__).parents[3] / "shared/kaito"
_NODE_CLAIMS = BESIDE / "karpenter.sh_nodeclaims.yaml"


def definition(kind: str, group: str, version: str, scope: str) -> Object:
    """A CustomResourceDefinition whose objects may hold whatever they like."""
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    served = {
        "name": version,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "subresources": {"status": {}},
    }
    plural = f"{kind.lower()}s"
    names = {"kind": kind, "plural": plural, "singular": kind.lower()}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {"group": group, "scope": scope, "names": names, "versions": [served]},
    }


def node_claims() -> Object:
    """Of the kind NodeClaim, which Karpenter and KAITO's gpu-provisioner share."""
    if _NODE_CLAIMS.exists():
        found: Object = yaml.safe_load(_NODE_CLAIMS.read_text())
        return found
    return definition("NodeClaim", "karpenter.sh", "v1", "Cluster")


@contextlib.contextmanager
def installed(kube: Kube, *crds: Object) -> Iterator[None]:
    """They are served meanwhile, and gone again afterwards with all their objects."""
    names = [f"crd/{crd['metadata']['name']}" for crd in crds]
    items = {"apiVersion": "v1", "kind": "List", "items": crds}
    try:
        # Server-side: the schemas are longer than the annotation of a client-side apply may be.
        kube.run("apply", "--server-side", "-f", "-", stdin=json.dumps(items))
        kube.run("wait", "--for=condition=Established", "--timeout=30s", *names)
        for crd in crds:
            kube.run("get", crd["metadata"]["name"])  # it waits while the storage is being made
        yield
    finally:
        kube.run("delete", "--ignore-not-found", *names, timeout=120)
