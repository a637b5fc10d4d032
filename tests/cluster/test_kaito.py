"""KAITO's own CRD accepts what is published for it. Its controller needs GPUs and is not run here;
a test speaks for it by writing the status that it would write."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from finetune_operator.api.fine_tune_job import FineTuneJob
from finetune_operator.domain.actions import Apply
from finetune_operator.domain.publication import Publication
from finetune_operator.publishing.kaito import KAITOPublisher
from tests.cluster.kube import Kube, KubectlError, Object, condition, is_true
from tests.cluster.simulation import trainer
from tests.cluster.simulation.api import Api
from tests.cluster.simulation.stand import stand
from tests.cluster.stand_in import BESIDE, definition, installed
from tests.unit.publishing.builders import ADAPTER, job

pytestmark = pytest.mark.exclusive

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


def its_own() -> list[Object]:
    """KAITO's own CRDs; none where they are not beside the repository."""
    return [yaml.safe_load(path.read_text()) for path in sorted(BESIDE.glob("kaito.sh_*.yaml"))]


@pytest.fixture
def kaito() -> Iterator[None]:
    """KAITO's own schemas decide."""
    crds = its_own()
    if not crds:
        pytest.skip("KAITO's CRDs are not beside the repository, in ../shared/kaito")
    with installed(Kube(""), *crds):
        yield


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
    make_ready(bare, stored)
    done = publish(bare)
    assert done.done
    assert done.endpoint == f"http://phi3.{bare.namespace}.svc/v1"


def make_ready(kube: Kube, workspace: Object) -> None:
    """Says what KAITO's controller says once its pods answer."""
    ready = {
        "type": "InferenceReady",
        "status": "True",
        "reason": "workspaceInferenceStatusSuccess",
        "message": "Inference has been deployed successfully",
        "lastTransitionTime": "2026-11-22T10:00:00Z",
        "observedGeneration": workspace["metadata"]["generation"],
    }
    status = {"status": {"conditions": [ready]}}
    kube.patch("workspaces.kaito.sh", workspace["metadata"]["name"], status, "--subresource=status")


def test_strictness_is_real(kaito: None, bare: Kube) -> None:
    wrong = {
        "apiVersion": "kaito.sh/v1beta1",
        "kind": "Workspace",
        "metadata": {"name": "wrong", "namespace": bare.namespace},
        "resource": {"labelSelector": {"matchLabels": {"apps": "phi3"}}, "sku": "none"},
    }
    with pytest.raises(KubectlError, match=r"resource\.sku"):
        apply_strictly(bare, wrong)


@pytest.mark.timeout(300)
async def test_a_job_waits_for_kaito_and_then_is_published_through_it(kube: Kube) -> None:
    """The whole way through the operator; the trainer's pods are simulated."""
    async with Api() as api, stand(api, kube.namespace, trainer.well) as node:
        publish = JOB.spec.publish.to_dict()
        lora = {"type": "LoRA", "lora": {"rank": 64}}
        kube.apply(
            trainer.job(
                kube.namespace, "phi3", node, class_name="default", publish=publish, method=lora
            )
        )
        waits = await asyncio.to_thread(
            kube.wait_for,
            "finetunejobs.finetune.dev",
            "phi3",
            lambda job: is_true(job, "Stalled"),
            deadline=120,
        )
        assert condition(waits, "Published")["reason"] == "KAITOMissing"
        with installed(
            Kube(""), *(its_own() or [definition("Workspace", "kaito.sh", "v1beta1", "Namespaced")])
        ):
            await asyncio.to_thread(publish_through_kaito, kube)
            kube.delete("finetunejobs.finetune.dev", "phi3", wait=60)
            assert kube.exists("workspaces.kaito.sh", "phi3")


def publish_through_kaito(kube: Kube) -> None:
    kube.run(
        "annotate", "finetunejobs.finetune.dev", "phi3", "kaito=installed"
    )  # so that it looks at once
    workspace = kube.wait_for("workspaces.kaito.sh", "phi3", lambda item: True, deadline=30)
    make_ready(kube, workspace)
    kube.run("annotate", "finetunejobs.finetune.dev", "phi3", "kaito=ready", "--overwrite")
    done = kube.wait_for_job("phi3", deadline=60)
    assert done["status"]["published"] == {
        "revision": "phi3",
        "endpoint": f"http://phi3.{kube.namespace}.svc/v1",
    }
