"""What the operator may do is what it did, by the API server's own record of the whole suite."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.conftest import OPERATOR_NAMESPACE, Departures
from tests.cluster.kube import Kube

pytestmark = [pytest.mark.exclusive, pytest.mark.last]

ACCOUNT = f"system:serviceaccount:{OPERATOR_NAMESPACE}:finetune-operator"

POLICY = "pod-security.kubernetes.io/enforce-policy"
NOT_OURS = {OPERATOR_NAMESPACE, "kube-system", "local-path-storage"}
"""Namespaces that are no test's: of the release and of the cluster itself."""

Grant = tuple[str, str, str]


def granted() -> set[Grant]:
    """(group, resource, verb) of the operator's two roles."""
    everywhere = Kube("").get("clusterrole", "finetune-operator")["rules"]
    at_home = Kube(OPERATOR_NAMESPACE).get("role", "finetune-operator")["rules"]
    return {
        (group, resource, verb)
        for rule in everywhere + at_home
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def used(log: Path) -> set[Grant]:
    """(group, resource, verb) of every request of the operator that was answered."""
    found: set[Grant] = set()
    with log.open() as lines:
        for line in lines:
            if ACCOUNT in line:
                found |= uses(json.loads(line))
    return found


def uses(event: dict[str, Any]) -> set[Grant]:
    reference, code = event.get("objectRef"), event.get("responseStatus", {}).get("code", 0)
    if event["user"]["username"] != ACCOUNT or not reference or code in (401, 403):
        return set()
    parts = (reference["resource"], reference.get("subresource", ""))
    group, resource = reference.get("apiGroup", ""), "/".join(filter(None, parts))
    # To apply or to put an object that was not there is authorized as create, too.
    verbs = {event["verb"], "create"} if code == 201 else {event["verb"]}
    return {(group, resource, verb) for verb in verbs}


def test_the_operator_is_granted_exactly_what_it_uses(
    cluster: dict[str, Any], operator: Kube, departures: Departures
) -> None:
    departures.wait()
    did = used(Path(cluster["auditLog"]))
    assert not granted() - did, "granted and not used by any test"
    assert not did - granted(), "used and granted by another role"


def test_no_secret_was_asked_for(cluster: dict[str, Any], operator: Kube) -> None:
    assert "secrets" not in {resource for _, resource, _ in used(Path(cluster["auditLog"]))}


def test_every_pod_was_admitted_by_the_restricted_profile(
    cluster: dict[str, Any], operator: Kube
) -> None:
    admitted: dict[str, set[str]] = {}
    with Path(cluster["auditLog"]).open() as lines:
        for event in (json.loads(line) for line in lines if '"resource":"pods"' in line):
            pod, code = event["objectRef"], event.get("responseStatus", {}).get("code")
            if (event["verb"], code, pod.get("subresource")) == ("create", 201, None):
                policies = admitted.setdefault(pod["namespace"], set())
                policies.add(event["annotations"].get(POLICY, "").partition(":")[0])
    ours = {name: policies for name, policies in admitted.items() if name not in NOT_OURS}
    assert ours
    assert {name for name, policies in ours.items() if policies != {"restricted"}} == set()
