"""Operators of one namespace each, beside each other, installed by who has rights only there.

The operator of the whole cluster is away meanwhile.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from finetune_operator.api.conditions import NOT_LOOKED_AT
from tests.cluster.conftest import ROOT, Departures, dump, helm, install
from tests.cluster.kube import Kube, Object, condition, restricted
from tests.cluster.played_trainer import push_played_trainer

pytestmark = pytest.mark.exclusive

KINDS = "finetune-kinds"
RELEASE = "finetune-operator"
ENDS_WITHIN = 120
PREFIX = f"t-tenancy-{os.getpid()}"


@dataclass(frozen=True)
class Team:
    """A namespace and an account that may install in it."""

    kube: Kube
    values: Path

    @property
    def account(self) -> str:
        return f"system:serviceaccount:{self.kube.namespace}:installer"

    @property
    def operator(self) -> str:
        return f"system:serviceaccount:{self.kube.namespace}:{RELEASE}"

    def helm(self, *arguments: str) -> str:
        """As that account, with all that the API server asks of it."""
        groups = ("system:serviceaccounts", "system:authenticated")
        return helm(
            *arguments, "--namespace", self.kube.namespace, "--kube-as-user", self.account,
            *(word for group in groups for word in ("--kube-as-group", group)),
        )  # fmt: skip

    def install(self, *more: str, release: str = RELEASE) -> str:
        """As docs/tenancy.md says."""
        return self.helm(
            "upgrade", "--install", release, str(ROOT / "charts/finetune-operator"),
            "--values", str(self.values), "--set", "parts=Operator",
            "--set", f"watch.namespaces={{{self.kube.namespace}}}", "--set", "retailPricesURL=",
            "--wait", "--timeout", "2m", *more,
        )  # fmt: skip


def may_install(namespace: str) -> list[Object]:
    def bound(role: str) -> Object:
        return {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": role, "namespace": namespace},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "ClusterRole",
                "name": role,
            },
            "subjects": [{"kind": "ServiceAccount", "name": "installer", "namespace": namespace}],
        }

    return [bound("admin"), bound(f"{KINDS}-installer")]


@pytest.fixture(scope="module")
def teams(
    request: pytest.FixtureRequest,
    cluster: dict[str, Any],
    images: Path,
    departures: Departures,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Team, Team]]:
    folder = tmp_path_factory.mktemp("tenancy")
    values = json.loads(images.read_text())
    values["images"]["trainer"] = push_played_trainer(cluster["registry"], folder / "image")
    (folder / "values.json").write_text(json.dumps(values))
    made = tuple(Team(Kube(f"{PREFIX}-{each}"), folder / "values.json") for each in "ab")
    helm("uninstall", RELEASE, "--wait", "--ignore-not-found")
    helm(
        "upgrade", "--install", KINDS, str(ROOT / "charts/finetune-operator"), "--create-namespace",
        "--set", "parts=Kinds", "--take-ownership", "--force-conflicts",
    )  # fmt: skip
    try:
        for team in made:
            Kube("").apply(restricted(team.kube.namespace), *may_install(team.kube.namespace))
            team.install()
        yield made[0], made[1]
    finally:
        for team in made:
            if request.session.testsfailed:
                dump(team.kube)
                print(team.kube.run("logs", f"deployment/{RELEASE}", "--tail=200"))
            team.helm("uninstall", RELEASE, "--wait", "--ignore-not-found")
            departures.add(team.kube)
        helm("uninstall", KINDS, "--wait")
        install(images)


def job(**spec: Any) -> Object:
    return {
        "apiVersion": "finetune.dev/v1beta1",
        "kind": "FineTuneJob",
        "metadata": {"name": "played"},
        "spec": {
            "model": {"storageUri": "hf://example/model"},
            "task": "Chat",
            "dataset": {"train": [{"storageUri": "file:///data/train.jsonl"}]},
            "checkpoint": {"volumeClaim": {"size": "1Gi"}},
            "output": {"storageUri": "oci://registry.local:5000/tenancy:v1"},
            **spec,
        },
    }


def test_each_runs_the_jobs_of_its_own_namespace_to_the_end(
    teams: tuple[Team, Team], bare: Kube, cluster: dict[str, Any]
) -> None:
    bare.apply(job())
    for team in teams:
        team.kube.apply(job())
    for team in teams:
        done = team.kube.wait_for_job("played", "Succeeded", deadline=ENDS_WITHIN)
        assert done["status"]["attempts"]["current"] == 1
    nobodys = bare.get("finetunejob", "played")["status"]
    assert nobodys == {"observedGeneration": NOT_LOOKED_AT}
    # What is in the cluster outside their namespaces, they neither read nor tried to read.
    for team in teams:
        asked = requests_of(team.operator, Path(cluster["auditLog"]))
        assert {each["objectRef"].get("namespace") for each in asked} == {team.kube.namespace}
        assert not [each for each in asked if each["responseStatus"].get("code") in (401, 403)]


def requests_of(account: str, log: Path) -> list[dict[str, Any]]:
    """Every request about an object."""
    with log.open() as lines:
        events = (json.loads(line) for line in lines if account in line)
        return [
            each
            for each in events
            if each["user"]["username"] == account and "resource" in each.get("objectRef", {})
        ]


def test_a_class_that_is_changed_holds_from_then_on(teams: tuple[Team, Team]) -> None:
    team, _ = teams
    team.install("--set", "class.allowed.registries={only.example.com}")
    changed = job()
    changed["metadata"]["name"] = "elsewhere"
    team.kube.apply(changed)
    held = team.kube.wait_for(
        "finetunejob",
        "elsewhere",
        lambda job: condition(job, "Accepted").get("reason") == "NotAllowed",
        deadline=60,
    )
    assert "only.example.com" in condition(held, "Accepted")["message"]
    team.install()
    team.kube.wait_for_job("elsewhere", "Succeeded", deadline=ENDS_WITHIN)


def test_a_second_operator_for_a_namespace_is_refused(teams: tuple[Team, Team]) -> None:
    team, _ = teams
    with pytest.raises(AssertionError, match=r"finetune\.dev:operator"):
        team.install(release="another")
    assert not team.kube.exists("deployment", "another")


def test_a_namespace_of_others_is_out_of_reach(teams: tuple[Team, Team]) -> None:
    mine, theirs = teams
    both = f"watch.namespaces={{{mine.kube.namespace},{theirs.kube.namespace}}}"
    with pytest.raises(AssertionError, match=r"(?i)forbidden"):
        mine.install("--set", both)
