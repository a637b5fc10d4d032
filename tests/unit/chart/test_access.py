"""serviceaccount, clusterrole, role, their bindings, userroles."""

from __future__ import annotations

import pytest

from finetune_operator.domain.kinds import BY_MANIFEST, LEASE
from tests.unit.chart.conftest import NAMESPACE, Object, Render, only
from tests.unit.chart.test_deployment import container


def granted(objects: list[Object]) -> set[tuple[str, str, str]]:
    """(group, resource, verb) of the operator."""
    return {
        (group, resource, verb)
        for rule in only(objects, "ClusterRole", "finetune-operator")["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def test_secrets_are_out_of_reach(objects: list[Object]) -> None:
    assert not {resource for _, resource, _ in granted(objects)} & {"secrets", "*"}


def test_nothing_is_granted_by_wildcard(objects: list[Object]) -> None:
    assert "*" not in {word for grant in granted(objects) for word in grant}


def test_only_kinds_that_the_operator_knows_are_granted(objects: list[Object]) -> None:
    known = {(kind.group, kind.plural) for kind in BY_MANIFEST.values()}
    found = {(group, resource.partition("/")[0]) for group, resource, _ in granted(objects)}
    assert found <= known, found - known


def test_who_gets_no_nodes_needs_no_permission_for_them(
    objects: list[Object], render: Render
) -> None:
    assert not {each for each in granted(objects) if each[0] == "karpenter.sh"}
    assert ("finetune.dev", "finetunejobs", "patch") not in granted(objects)
    claims = granted(render({"provisioners": ["KAITO"]}))
    assert {resource for group, resource, _ in claims if group == "karpenter.sh"} == {"nodeclaims"}
    assert ("finetune.dev", "finetunejobs", "patch") in claims
    pools = granted(render({"provisioners": ["Karpenter"]}))
    assert ("karpenter.sh", "nodepools", "create") in pools
    assert {verb for _, resource, verb in pools if resource == "nodeclaims"} == {"list"}


def test_pods_can_be_deleted_but_not_made(objects: list[Object]) -> None:
    verbs = {
        verb for group, resource, verb in granted(objects) if (group, resource) == ("", "pods")
    }
    assert "delete" in verbs
    assert not verbs & {"create", "patch", "update"}


@pytest.mark.parametrize("kind", ["ClusterRole", "Role"])
def test_the_account_of_the_release_holds_the_role(objects: list[Object], kind: str) -> None:
    binding = only(objects, f"{kind}Binding")
    account = only(objects, "ServiceAccount")["metadata"]
    assert binding["subjects"] == [
        {"kind": "ServiceAccount", "name": account["name"], "namespace": NAMESPACE}
    ]
    assert (
        binding["roleRef"]["name"] == only(objects, kind, "finetune-operator")["metadata"]["name"]
    )
    assert binding["roleRef"]["kind"] == kind


def test_no_lease_but_its_own_is_within_reach(objects: list[Object]) -> None:
    (rule,) = only(objects, "Role")["rules"]
    assert (rule["apiGroups"], rule["resources"]) == ([LEASE.group], [LEASE.plural])
    environment = container(objects)["env"]
    (name,) = (each["value"] for each in environment if each["name"] == "FINETUNE_LEASE")
    assert name == f"{NAMESPACE}/{rule['resourceNames'][0]}"
    assert not [grant for grant in granted(objects) if LEASE.plural in grant]


def test_only_the_pod_itself_asks_for_the_token(objects: list[Object]) -> None:
    assert only(objects, "ServiceAccount")["automountServiceAccountToken"] is False
    pod = only(objects, "Deployment")["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is True


def test_pull_secrets_belong_to_the_account(render: Render) -> None:
    account = only(render({"imagePullSecrets": [{"name": "pull"}]}), "ServiceAccount")
    assert account["imagePullSecrets"] == [{"name": "pull"}]


@pytest.mark.parametrize(("role", "verb"), [("edit", "create"), ("view", "watch")])
def test_users_get_the_kinds_with_their_own_roles(
    objects: list[Object], role: str, verb: str
) -> None:
    found = only(objects, "ClusterRole", f"finetune-operator-{role}")
    assert found["metadata"]["labels"][f"rbac.authorization.k8s.io/aggregate-to-{role}"] == "true"
    (rule,) = found["rules"]
    assert verb in rule["verbs"]
    assert "finetunejobs" in rule["resources"]
