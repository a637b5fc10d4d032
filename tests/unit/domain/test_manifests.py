"""The objects that a job makes, as YAML to review, and what must hold for every pod of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from finetune_operator.api.fine_tune_job import FineTuneJob
from finetune_operator.api.fine_tune_job_status import Plan
from finetune_operator.api.network import Network
from finetune_operator.domain.manifests.common import Blueprint
from finetune_operator.domain.manifests.prepare import prepare_job
from finetune_operator.domain.manifests.publish import publish_job, reuse_job
from finetune_operator.domain.manifests.train import train_job
from finetune_operator.domain.manifests.volume import (
    headless_service,
    recipe_config_map,
    volume_claim,
)
from finetune_operator.domain.outside import DIRECTLY, Outside
from finetune_operator.domain.provisioning import Placement
from finetune_trainer.authorities import FOLDER
from finetune_trainer.recipe import Device
from tests.unit.golden import assert_golden

GOLDEN = Path(__file__).parent / "golden"
COMPANY = Network.model_validate(
    {
        "proxy": {
            "https": "http://proxy.example.com:3128",
            "noProxy": ["registry.local", ".example.net"],
        },
        "certificateAuthorities": {"configMapName": "company-authorities"},
        "hub": {"endpoint": "https://hub.example.com"},
    }
)
Object = dict[str, Any]

SMALL: Object = {
    "model": {"storageUri": "hf://example/model", "credentialsSecretRef": {"name": "hf-token"}},
    "task": "Chat",
    "dataset": {
        "train": [{"storageUri": "pvc://data/train.jsonl"}],
        "validation": [
            {
                "storageUri": "oci://registry.example.com/data:v1",
                "credentialsSecretRef": {"name": "pull"},
            }
        ],
    },
    "output": {
        "storageUri": "oci://registry.example.com/adapters/chat:v1",
        "credentialsSecretRef": {"name": "push"},
    },
}
LARGE: Object = {
    **SMALL,
    "model": {
        **SMALL["model"],
        "adapterUri": "oci://registry.example.com/adapters/earlier:v1",
        "adapterCredentialsSecretRef": {"name": "pull-adapter"},
    },
    "compute": {
        "device": "GPU",
        "nodes": 2,
        "gpusPerNode": 4,
        "podTemplate": {
            "env": [{"name": "NCCL_DEBUG", "value": "INFO"}],
            "resources": {"requests": {"cpu": 8}, "limits": {"memory": "64Gi"}},
            "nodeSelector": {"pool": "gpu"},
            "tolerations": [{"key": "sku", "value": "gpu", "effect": "NoSchedule"}],
            "imagePullSecrets": [{"name": "pull"}],
            "serviceAccountName": "trainer",
            "runtimeClassName": "nvidia",
            "priorityClassName": "batch",
        },
    },
    "checkpoint": {
        "volumeClaim": {
            "size": "500Gi",
            "storageClassName": "azurefile-premium",
            "accessModes": ["ReadWriteMany"],
        }
    },
}


def blueprint(spec: Object) -> Blueprint:
    metadata = {
        "name": "chat",
        "namespace": "team",
        "uid": "0000-1",
        "generation": 1,
        "labels": {"kueue.x-k8s.io/queue-name": "research", "argocd.argoproj.io/instance": "app"},
    }
    job = FineTuneJob.from_stored({"metadata": metadata, "spec": spec})
    compute = job.spec.compute
    gpu = compute.device.value == "GPU"
    plan = Plan(
        device=Device.GPU if gpu else Device.CPU,
        nodes=compute.nodes,
        gpus_per_node=compute.gpus_per_node if gpu else 0,
    )
    return Blueprint(
        job=job,
        plan=plan,
        image="registry.example.com/trainer@sha256:" + "0" * 64,
        outside=Outside(insecure_registries=("registry.local:5000",)),
        model_cache="models" if gpu else "",
        result_key="sha256:" + "1" * 64,
        progress_url="http://finetune-operator.finetune-system.svc:8090",
    )


def objects(spec: Object) -> list[Object]:
    made = blueprint(spec)
    found = [
        recipe_config_map(made.job, "{}"),
        volume_claim(made.job),
        prepare_job(made, 1),
        reuse_job(made, 1),
        train_job(made, 3),
        publish_job(made, 2),
    ]
    return [*found, headless_service(made.job)] if made.plan.nodes > 1 else found


@pytest.mark.parametrize(("name", "spec"), [("cpu", SMALL), ("gpu_two_nodes", LARGE)])
def test_what_is_made(name: str, spec: Object) -> None:
    assert_golden(GOLDEN / f"{name}.yaml", objects(spec))


def test_only_what_fetches_and_publishes_reaches_the_companys_network() -> None:
    """Whatever else runs is as it is without."""
    made = blueprint(LARGE)
    there = replace(made, outside=Outside(COMPANY, made.outside.insecure_registries))
    touched = set()
    for build in (prepare_job, train_job, publish_job):
        without, within = (build(each, 1)["spec"]["template"]["spec"] for each in (made, there))
        for before, after in zip(containers(without), containers(within), strict=True):
            if before != after:
                touched.add(after["name"])
                assert_reaches(after, {each["name"]: each for each in within["volumes"]})
        names_of_volumes = [each["name"] for each in within["volumes"]]
        assert len(names_of_volumes) == len(set(names_of_volumes))
    fetching = {"fetch-model", "fetch-adapter", "fetch-train-0", "fetch-validation-0"}
    assert touched == fetching | {"publish"}


def assert_reaches(container: Object, volumes: Object) -> None:
    env = {each["name"]: each["value"] for each in container["env"]}
    assert env["HTTPS_PROXY"] == "http://proxy.example.com:3128"
    assert env["NO_PROXY"] == "registry.local,.example.net"
    assert "HTTP_PROXY" not in env
    assert env["HF_ENDPOINT"] == "https://hub.example.com"
    (mount,) = (each for each in container["volumeMounts"] if each["mountPath"] == str(FOLDER))
    assert volumes[mount["name"]]["configMap"] == {"name": "company-authorities"}
    assert mount["name"].startswith(container["name"])


def test_nobody_in_between_is_nothing_at_all() -> None:
    assert (DIRECTLY.environment, DIRECTLY.arguments, DIRECTLY.volumes("c")) == ({}, [], ([], []))


def test_pods_go_where_their_nodes_are_and_where_the_user_wants_them() -> None:
    """Each of the user's terms is an alternative, so each has to be on the nodes."""
    label = {"key": "disk", "operator": "In", "values": ["nvme"]}
    zone = {"key": "zone", "operator": "In", "values": ["1"]}
    terms = [{"matchExpressions": [label]}, {"matchExpressions": [zone]}]
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
    overlay = {"nodeSelector": {"pool": "gpu"}, "affinity": {"nodeAffinity": required}}
    made = blueprint({**SMALL, "compute": {"device": "CPU", "podTemplate": overlay}})
    types = {"key": "node.kubernetes.io/instance-type", "operator": "In", "values": ["large"]}
    placement = Placement(
        node_selector={"finetune.dev/job-uid": "0000-1"},
        requirements=(types,),
        tolerations=({"key": "sku", "operator": "Exists"},),
        annotations={"karpenter.sh/do-not-disrupt": "true"},
    )
    template = train_job(replace(made, placement=placement), 1)["spec"]["template"]
    assert template["metadata"]["annotations"] == {"karpenter.sh/do-not-disrupt": "true"}
    spec = template["spec"]
    assert spec["nodeSelector"] == {"pool": "gpu", "finetune.dev/job-uid": "0000-1"}
    assert {"key": "sku", "operator": "Exists"} in spec["tolerations"]
    found = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert [each["matchExpressions"] for each in found["nodeSelectorTerms"]] == [
        [label, types],
        [zone, types],
    ]
    prepared = prepare_job(replace(made, placement=placement), 1)["spec"]["template"]["spec"]
    assert prepared["nodeSelector"] == {"pool": "gpu"}, "before there are any nodes"


def test_what_is_preferred_weighs_the_more_the_earlier_it_is_named() -> None:
    label = {"key": "disk", "operator": "In", "values": ["nvme"]}
    theirs = {"weight": 5, "preference": {"matchExpressions": [label]}}
    preferred = {"preferredDuringSchedulingIgnoredDuringExecution": [theirs]}
    overlay = {"affinity": {"nodeAffinity": preferred}}
    made = blueprint({**SMALL, "compute": {"device": "CPU", "podTemplate": overlay}})
    large, small = (
        {"key": "node.kubernetes.io/instance-type", "operator": "In", "values": [name]}
        for name in ("large", "small")
    )
    placement = Placement(requirements=(large,), preferences=((large,), (small,)))
    spec = train_job(replace(made, placement=placement), 1)["spec"]["template"]["spec"]
    of_nodes = spec["affinity"]["nodeAffinity"]
    assert of_nodes["preferredDuringSchedulingIgnoredDuringExecution"] == [
        theirs,
        {"weight": 100, "preference": {"matchExpressions": [large]}},
        {"weight": 99, "preference": {"matchExpressions": [small]}},
    ]
    assert "requiredDuringSchedulingIgnoredDuringExecution" in of_nodes


def pods(spec: Object) -> Iterator[Object]:
    for each in objects(spec):
        if each["kind"] == "Job":
            yield each["spec"]["template"]["spec"]


def containers(pod: Object) -> list[Object]:
    found: list[Object] = [*pod.get("initContainers", []), *pod["containers"]]
    return found


@pytest.mark.parametrize("spec", [SMALL, LARGE], ids=["cpu", "gpu"])
def test_every_pod_is_restricted(spec: Object) -> None:
    for pod in pods(spec):
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        assert not pod["enableServiceLinks"]
        for each in containers(pod):
            assert each["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }


def test_each_secret_is_mounted_into_the_one_container_that_needs_it() -> None:
    mounted: dict[str, list[str]] = {}
    for pod in pods({**SMALL, "model": LARGE["model"]}):
        secrets = {
            volume["name"]: volume["secret"]["secretName"]
            for volume in pod["volumes"]
            if "secret" in volume
        }
        for each in containers(pod):
            for mount in each["volumeMounts"]:
                if mount["name"] in secrets:
                    mounted.setdefault(secrets[mount["name"]], []).append(each["name"])
    assert mounted == {
        "hf-token": ["fetch-model"],
        "pull-adapter": ["fetch-adapter"],
        "pull": ["fetch-validation-0"],
        "push": ["reuse", "publish"],
    }


def test_the_model_cache_is_written_by_who_fetches_and_read_by_who_trains() -> None:
    mounted = {
        each["name"]: mount.get("readOnly", False)
        for pod in pods(LARGE)
        for each in containers(pod)
        for mount in each["volumeMounts"]
        if mount["name"] == "model-cache"
    }
    assert mounted == {"fetch-model": False, "check": True, "train": True}


def test_only_labels_of_a_queue_are_passed_on() -> None:
    for each in objects(LARGE):
        labels = each["metadata"]["labels"]
        assert labels["kueue.x-k8s.io/queue-name"] == "research"
        assert "argocd.argoproj.io/instance" not in labels


def test_the_longest_names_fit() -> None:
    made = blueprint(SMALL)
    metadata = made.job.metadata.model_copy(update={"name": "j" * 48})
    longest = Blueprint(
        job=made.job.model_copy(update={"metadata": metadata}), plan=made.plan, image="i"
    )
    for build in (prepare_job, reuse_job, train_job, publish_job):
        name = build(longest, 999)["metadata"]["name"]
        assert len(f"{name}-63") <= 63, "a pod's host name is its Job's name and its index"
