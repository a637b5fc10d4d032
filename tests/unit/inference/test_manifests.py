"""What is emitted for a workspace, reviewed as YAML, and what holds for every pod of it."""

from pathlib import Path
from typing import Any

import pytest

from finetune_operator.api.network import Network
from finetune_operator.domain.actions import Apply, JsonObject
from finetune_operator.domain.inference.decide import decide
from finetune_operator.domain.inference.observed import Observed
from tests.unit.golden import assert_golden
from tests.unit.inference.builders import (
    CLASS,
    NOW,
    full_revision,
    revision,
    seen,
    traffic,
    workspace,
)

GOLDEN = Path(__file__).parent / "golden"

COMPANY = Network.model_validate(
    {
        "proxy": {"https": "http://proxy.example.com:3128", "noProxy": ["registry.local"]},
        "certificateAuthorities": {"configMapName": "company-authorities"},
        "hub": {"endpoint": "https://hub.example.com"},
    }
)

POD_TEMPLATE = {
    "env": [{"name": "OMP_NUM_THREADS", "value": "4"}, {"name": "HOME", "value": "/root"}],
    "resources": {"requests": {"cpu": "4"}, "limits": {"memory": "16Gi"}},
    "nodeSelector": {"disk": "ssd"},
    "tolerations": [{"key": "spot", "operator": "Exists"}],
    "imagePullSecrets": [{"name": "images"}],
    "priorityClassName": "serving",
}
PRIVATE = {"storageUri": "oci://registry.example.com/models/phi@sha256:" + "cd" * 32} | {
    "credentialsSecretRef": {"name": "models"}
}
PULL = {"pull_secrets": [{"name": "adapters"}]}

CASES: dict[str, Observed] = {
    "transformers": seen(),
    "transformers-canary": seen(
        workspace=workspace(
            replicas=2, podTemplate=POD_TEMPLATE, traffic=traffic(latest=10, n1=90)
        ),
        revisions=(revision(1, PRIVATE, **PULL), revision(2, PRIVATE, rank=64, **PULL)),
    ),
    "transformers-without-image-volumes": seen(
        image_volumes=False,
        finetune_class=CLASS.model_copy(
            update={
                "spec": CLASS.spec.model_copy(
                    update={
                        "insecure_registries": ("registry.local:5000",),
                        "network": COMPANY,
                    }
                )
            }
        ),
        revisions=(revision(1, {"storageUri": "pvc://models/phi3"}, **PULL),),
    ),
    "transformers-full": seen(revisions=(full_revision(1),)),
    "vllm": seen(has_gpu_nodes=True, revisions=(revision(1), revision(2, rank=48))),
    "vllm-full": seen(workspace=workspace(runtime="VLLM"), revisions=(full_revision(1),)),
}


def emitted(case: str) -> list[JsonObject]:
    actions = decide(CASES[case], NOW).actions
    return [dict(action.manifest) for action in actions if isinstance(action, Apply)]


def pod_of(case: str) -> Any:
    return emitted(case)[-1]["spec"]["template"]["spec"]


@pytest.mark.parametrize("case", CASES)
def test_golden(case: str) -> None:
    assert_golden(GOLDEN / f"{case}.yaml", emitted(case))


@pytest.mark.parametrize("case", CASES)
def test_every_pod_satisfies_the_restricted_profile(case: str) -> None:
    pod = pod_of(case)
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in [*pod["initContainers"], *pod["containers"]]:
        security = container["securityContext"]
        assert security["allowPrivilegeEscalation"] is False
        assert security["readOnlyRootFilesystem"] is True
        assert security["capabilities"] == {"drop": ["ALL"]}


@pytest.mark.parametrize("case", CASES)
def test_what_runs_model_code_holds_no_credential(case: str) -> None:
    pod = pod_of(case)
    secrets = {volume["name"] for volume in pod["volumes"] if "secret" in volume}
    assert pod["automountServiceAccountToken"] is False
    for container in pod["containers"]:
        assert not secrets & {mount["name"] for mount in container["volumeMounts"]}
    holders = [
        {mount["name"] for mount in container["volumeMounts"]} & secrets
        for container in pod["initContainers"]
    ]
    assert all(len(held) <= 1 for held in holders)
    assert set().union(*holders) == secrets


@pytest.mark.parametrize("case", CASES)
def test_every_mount_has_a_volume_and_every_volume_a_mount(case: str) -> None:
    pod = pod_of(case)
    containers = [*pod["initContainers"], *pod["containers"]]
    mounted = {mount["name"] for each in containers for mount in each["volumeMounts"]}
    volumes = [volume["name"] for volume in pod["volumes"]]
    assert mounted == set(volumes)
    assert len(volumes) == len(set(volumes))


def test_names_stay_within_63_characters() -> None:
    long = revision(1)
    long = long.model_copy(update={"metadata": long.metadata.model_copy(update={"name": "r" * 63})})
    for image_volumes in (True, False):
        decision = decide(seen(revisions=(long,), image_volumes=image_volumes), NOW)
        deployment = decision.actions[-1]
        assert isinstance(deployment, Apply)
        pod = deployment.manifest["spec"]["template"]["spec"]
        named = [*pod["volumes"], *pod["initContainers"], *pod["containers"]]
        assert all(len(each["name"]) <= 63 for each in named)
