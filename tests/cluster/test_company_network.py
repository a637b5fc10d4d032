"""A job whose class says how to leave the cluster, to a hub that can be reached in no other way: by
name only the proxy knows it, and only the company's authority vouches for it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.cluster.kube import Kube, Object
from tests.cluster.tiny_model import write_tiny_model
from tests.trainer.transfer import company, hub
from tests.trainer.transfer.company import Authority, Proxy
from tests.trainer.transfer.hub import COMMIT, Repository

HUB = "hub.company.test"
AUTHORITIES = "company-authorities"
SAID_WITHIN = 180
ENDS_WITHIN = 420  # s: other tests share the processors


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority("The company", tmp_path / "authority")


@pytest.fixture
def proxy(cluster: dict[str, Any], authority: Authority, tmp_path: Path) -> Iterator[Proxy]:
    """The only way to the hub, which has a tiny model and data for it."""
    write_tiny_model(tmp_path / "model")
    lines = (json.dumps({"text": f"{number} " * 20}) for number in range(40))
    address = cluster["registryAddress"].rpartition(":")[0]
    with hub.run(authority.certificate_of(HUB)) as models, company.proxy(address) as made:
        files = {each.name: each.read_bytes() for each in (tmp_path / "model").iterdir()}
        models.repositories["models/company/tiny"] = Repository(files)
        data = {"train.jsonl": "\n".join(lines).encode()}
        models.repositories["datasets/company/data"] = Repository(data)
        made.places[f"{HUB}:443"] = urlsplit(models.url).port or 0
        yield made


@pytest.fixture
def class_name(kube: Kube, proxy: Proxy) -> Iterator[str]:
    spec = Kube("").get("finetuneclass", "default")["spec"]
    network = {
        "proxy": {"https": proxy.url, "noProxy": ["registry.local"]},
        "certificateAuthorities": {"configMapName": AUTHORITIES},
        "hub": {"endpoint": f"https://{HUB}"},
    }
    its_class = {
        "apiVersion": "finetune.dev/v1beta1",
        "kind": "FineTuneClass",
        "metadata": {"name": kube.namespace},
        "spec": {**spec, "network": network},
    }
    Kube("").apply(its_class)
    yield kube.namespace
    Kube("").delete("finetuneclass", kube.namespace)


def job(class_name: str) -> Object:
    return {
        "apiVersion": "finetune.dev/v1beta1",
        "kind": "FineTuneJob",
        "metadata": {"name": "behind"},
        "spec": {
            "className": class_name,
            "model": {"storageUri": "hf://company/tiny"},
            "task": "Completion",
            "dataset": {
                "train": [{"storageUri": "hf://datasets/company/data/train.jsonl"}],
                "format": "Text",
            },
            "training": {"maxSteps": 4, "maxLength": 64, "tokensPerBatch": 256},
            "compute": {
                "device": "CPU",
                "podTemplate": {"resources": {"requests": {"cpu": "50m", "memory": "256Mi"}}},
            },
            "checkpoint": {"volumeClaim": {"size": "1Gi"}},
            "output": {"storageUri": f"oci://registry.local:5000/company/{class_name}:v1"},
        },
    }


def says(job: Object, reason: str, words: str) -> bool:
    conditions = job.get("status", {}).get("conditions", [])
    return any(each["reason"] == reason and words in each["message"] for each in conditions)


def test_a_job_is_trained_from_the_mirror_behind_the_proxy(
    kube: Kube, class_name: str, proxy: Proxy, authority: Authority
) -> None:
    kube.apply(job(class_name))
    kube.wait_for(
        "finetunejob",
        "behind",
        lambda job: says(job, "VolumePending", AUTHORITIES),
        deadline=SAID_WITHIN,
    )
    kube.apply(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": AUTHORITIES},
            "data": {"company.crt": authority.certificate.read_text()},
        }
    )
    done = kube.wait_for_job("behind", deadline=ENDS_WITHIN)
    assert done["status"]["resolved"]["modelRevision"] == COMMIT
    assert set(proxy.asked) == {f"{HUB}:443"}
    knows = {
        each["name"]: "HTTPS_PROXY" in {variable["name"] for variable in each["env"]}
        for pod in kube.items("pods")
        for each in [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]
    }
    assert set(knows) >= {"fetch-model", "fetch-train-0", "check", "train", "publish"}
    assert {name for name, told in knows.items() if not told} == {"check", "train"}
