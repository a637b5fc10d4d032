"""The chart on a real cluster: what an upgrade, an uninstall and a second install leave alone.

Runs before the other tests that are exclusive: nothing waits for the operator.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.cluster.conftest import OPERATOR_NAMESPACE, helm, install
from tests.cluster.kube import Kube, Object, condition, is_true

pytestmark = [pytest.mark.exclusive, pytest.mark.first]

SELECTOR = "app.kubernetes.io/name=finetune-operator"


def waiting_job(name: str) -> dict[str, object]:
    """A job that the operator sees and that needs no pod: its class does not exist."""
    return {
        "apiVersion": "finetune.dev/v1beta1",
        "kind": "FineTuneJob",
        "metadata": {"name": name},
        "spec": {
            "className": "absent",
            "model": {"storageUri": "hf://owner/name"},
            "task": "Chat",
            "dataset": {"train": [{"storageUri": "pvc://data/train.jsonl"}]},
            "output": {"storageUri": "oci://registry.example.com/adapters/kept:v1"},
        },
    }


def seen(kube: Kube, name: str) -> str:
    """Waits until the operator has looked at a job; returns its uid."""
    job = kube.wait_for(
        "finetunejob",
        name,
        lambda job: condition(job, "Accepted").get("reason") == "ClassNotFound",
        deadline=60,
    )
    uid: str = job["metadata"]["uid"]
    return uid


def test_upgrade_and_uninstall_lose_no_job(kube: Kube, images: Path) -> None:
    kube.apply(waiting_job("kept"))
    uid = seen(kube, "kept")

    install(images, "--set", "logLevel=DEBUG")
    kube.apply(waiting_job("after-upgrade"))
    seen(kube, "after-upgrade")

    helm("uninstall", "finetune-operator", "--wait", "--timeout", "2m")
    cluster = Kube("")
    assert not Kube(OPERATOR_NAMESPACE).exists("deployment", "finetune-operator")
    assert not cluster.exists("clusterrole", "finetune-operator")
    assert cluster.exists("finetuneclass", "default")
    assert kube.get("finetunejob", "kept")["metadata"]["uid"] == uid

    install(images)
    assert kube.get("finetunejob", "kept")["metadata"]["uid"] == uid
    kube.apply(waiting_job("after-reinstall"))
    seen(kube, "after-reinstall")


def test_a_second_install_of_the_same_changes_nothing(operator: Kube, images: Path) -> None:
    before = operator.get("deployment", "finetune-operator")["metadata"]
    the_class = Kube("").get("finetuneclass", "default")["metadata"]
    install(images)
    after = operator.get("deployment", "finetune-operator")["metadata"]
    assert after["generation"] == before["generation"]
    assert Kube("").get("finetuneclass", "default")["metadata"]["uid"] == the_class["uid"]


def test_the_operator_runs_under_the_restricted_profile(operator: Kube) -> None:
    label = "pod-security.kubernetes.io/enforce=restricted"
    answer = subprocess.run(
        ["kubectl", "label", "--dry-run=server", "namespace", OPERATOR_NAMESPACE, label],
        capture_output=True, text=True, timeout=30, check=True,
    )  # fmt: skip
    assert "violate" not in answer.stderr


def two_are_ready(pods: list[Object]) -> bool:
    return len(pods) == 2 and all(is_true(pod, "Ready") for pod in pods)


def test_the_chart_rolls_two_replicas_over(operator: Kube, kube: Kube, images: Path) -> None:
    """With the rights, the addresses and the probes that the chart gives them."""
    two = ("--set", "replicas=2")
    install(images, *two)
    try:
        kube.apply(waiting_job("before"))
        seen(kube, "before")
        before = operator.get("lease", "finetune-operator")["spec"]
        install(images, *two, "--set", "logLevel=DEBUG")
        kube.apply(waiting_job("after"))
        seen(kube, "after")
        pods = operator.wait_for_list("pods", SELECTOR, two_are_ready, deadline=60)
        names = {pod["metadata"]["name"] for pod in pods} - {before["holderIdentity"]}
        operator.wait_for(
            "lease",
            "finetune-operator",
            lambda lease: lease["spec"].get("holderIdentity") in names,
            deadline=30,
        )
    finally:
        install(images)
