"""crds and finetuneclass: what outlives the release."""

from __future__ import annotations

import yaml

from finetune_operator.api.fine_tune_class import FineTuneClass
from tests.unit.chart.conftest import ROOT, TRAINER, Object, Render, only

KNOWN = ("--api-versions", "finetune.dev/v1beta1/FineTuneClass")


def test_uninstalling_keeps_every_crd_and_so_every_job(objects: list[Object]) -> None:
    crds = [item for item in objects if item["kind"] == "CustomResourceDefinition"]
    assert len(crds) == 4
    assert {crd["metadata"]["annotations"]["helm.sh/resource-policy"] for crd in crds} == {"keep"}


def test_the_crds_are_those_generated(objects: list[Object]) -> None:
    found = {
        item["metadata"]["name"]: item["spec"]
        for item in objects
        if item["kind"] == "CustomResourceDefinition"
    }
    generated = [yaml.safe_load(path.read_text()) for path in sorted(ROOT.glob("crds/*.yaml"))]
    assert found == {crd["metadata"]["name"]: crd["spec"] for crd in generated}


def test_the_class_comes_as_a_hook_while_its_kind_is_unknown(objects: list[Object]) -> None:
    annotations = only(objects, "FineTuneClass")["metadata"]["annotations"]
    assert annotations["helm.sh/hook"] == "post-install,post-upgrade"


def test_the_class_belongs_to_the_release_once_its_kind_is_known(render: Render) -> None:
    annotations = only(render({}, *KNOWN), "FineTuneClass")["metadata"]["annotations"]
    assert annotations == {
        "helm.sh/resource-policy": "keep",
        "meta.helm.sh/release-name": "finetune-operator",
        "meta.helm.sh/release-namespace": "finetune-system",
    }


def test_the_class_is_one_that_the_api_accepts(render: Render) -> None:
    vllm = f"vllm@sha256:{'c' * 64}"
    values = {
        "images": {"vllm": vllm},
        "class": {
            "provisioner": {"type": "KAITO"},
            "allowed": {
                "registries": ["*.azurecr.io"],
                "instanceTypes": ["Standard_NC*"],
                "maxNodes": 4,
                "maxRunningJobs": 100_000,
                "maxRunningJobsPerNamespace": 2,
            },
            "budget": {"currency": "EUR", "region": "westeurope", "maxCostPerJob": "200.00"},
            "modelCache": {"claimName": "models"},
            "insecureRegistries": ["registry.local:5000"],
        },
    }
    spec = FineTuneClass.model_validate(only(render(values), "FineTuneClass")).spec
    assert (spec.images.trainer, spec.images.serve) == (TRAINER, None)
    assert spec.images.vllm == vllm
    assert spec.allowed.registries == ("*.azurecr.io",)
    assert spec.allowed.max_nodes == 4
    assert spec.allowed.instance_types == ("Standard_NC*",)
    assert spec.provisioner.type == "KAITO"
    assert (spec.budget.currency, spec.budget.max_cost_per_job) == ("EUR", "200.00")
    assert spec.allowed.max_running_jobs == 100_000
    assert spec.allowed.max_running_jobs_per_namespace == 2
    assert spec.model_cache is not None
    assert spec.model_cache.claim_name == "models"
    assert spec.insecure_registries == ("registry.local:5000",)


def test_a_platform_team_may_write_its_own_classes(render: Render) -> None:
    kinds = {item["kind"] for item in render({"class": {"create": False}})}
    assert "FineTuneClass" not in kinds
