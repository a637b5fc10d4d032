"""KAITO's own CRD accepts what is published for it. Its controller needs GPUs and is not run here;
a test speaks for it by writing the status that it would write."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from finetune_operator.api.fine_tune_job import FineTuneJob
from finetune_operator.domain.actions import Apply
from finetune_operator.domain.publication import Publication
from finetune_operator.publishing.kaito import KAITOPublisher
from tests.cluster.kube import Kube, KubectlError
from tests.unit.publishing.builders import ADAPTER, job

CRDS = Path(__file__).parents[3] / "shared/kaito"

JOB = job(
    {
        "type": "KAITO",
        "kaito": {
            "instanceType": "Standard_NC24ads_A100_v4",
            "labelSelector": {"matchLabels": {"apps": "phi3"}},
        },
    },
    method={"type": "LoRA", "lora": {"rank": 64}},
)


@pytest.fixture(scope="module")
def kaito() -> Iterator[None]:
    """KAITO's CRDs, as its chart installs them; gone again afterwards."""
    if not CRDS.is_dir():
        pytest.skip("KAITO's CRDs are not beside the repository, in ../shared/kaito")
    kube = Kube("")
    crds = sorted(CRDS.glob("kaito.sh_*.yaml"))
    names = [f"crd/{yaml.safe_load(crd.read_text())['metadata']['name']}" for crd in crds]
    for crd in crds:
        # Server-side: the schemas are longer than the annotation of a client-side apply may be.
        kube.run("apply", "--server-side", "-f", str(crd))
    kube.run("wait", "--for=condition=Established", "--timeout=30s", *names)
    yield
    kube.run("delete", *names, timeout=120)


def publish(kube: Kube) -> Publication:
    """One look of the publisher at the namespace, and its actions applied strictly."""
    metadata = JOB.metadata.model_copy(update={"namespace": kube.namespace})
    of = FineTuneJob.model_validate(JOB.model_copy(update={"metadata": metadata}))
    publisher = KAITOPublisher()
    observed = {
        read: tuple(
            each
            for each in kube.items(f"{read.kind.plural}.{read.kind.group}".rstrip("."))
            if each["metadata"]["name"] == read.name
        )
        for read in publisher.reads(of)
    }
    publication = publisher.publish(of, ADAPTER, observed)
    for action in publication.actions:
        assert isinstance(action, Apply)
        apply_strictly(kube, dict(action.manifest))
    return publication


def apply_strictly(kube: Kube, manifest: dict[str, Any]) -> None:
    kube.run(
        "apply", "--server-side", "--field-manager=finetune-operator", "--validate=strict",
        "-f", "-", stdin=json.dumps(manifest),
    )  # fmt: skip


def test_the_workspace_is_accepted_and_its_readiness_mirrored(kaito: None, bare: Kube) -> None:
    assert not publish(bare).done
    stored = bare.get("workspaces.kaito.sh", JOB.metadata.name)
    assert stored["apiVersion"] == "kaito.sh/v1beta1"
    assert stored["inference"]["adapters"][0]["source"]["image"].startswith("registry.example.com")
    config = bare.get("configmap", stored["inference"]["config"])
    assert yaml.safe_load(config["data"]["inference_config.yaml"]) == {
        "vllm": {"max-lora-rank": "64"}
    }
    publish(bare)  # gives the ConfigMap its owner
    assert publish(bare).actions == []
    ready = {
        "type": "InferenceReady",
        "status": "True",
        "reason": "workspaceInferenceStatusSuccess",
        "message": "Inference has been deployed successfully",
        "lastTransitionTime": "2026-11-22T10:00:00Z",
        "observedGeneration": stored["metadata"]["generation"],
    }
    status = {"status": {"conditions": [ready]}}
    bare.patch("workspaces.kaito.sh", "phi3", status, "--subresource=status")
    done = publish(bare)
    assert done.done
    assert done.endpoint == f"http://phi3.{bare.namespace}.svc/v1"


def test_strictness_is_real(kaito: None, bare: Kube) -> None:
    wrong = {
        "apiVersion": "kaito.sh/v1beta1",
        "kind": "Workspace",
        "metadata": {"name": "wrong", "namespace": bare.namespace},
        "resource": {"labelSelector": {"matchLabels": {"apps": "phi3"}}, "sku": "none"},
    }
    with pytest.raises(KubectlError, match=r"resource\.sku"):
        apply_strictly(bare, wrong)
