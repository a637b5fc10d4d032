"""Jobs of a namespace that have one model between them, on a volume that nodes share."""

from __future__ import annotations

from tests.cluster.kube import Kube, Object, condition
from tests.cluster.resilience.jobs import Sources, finetune_job

ENDS_WITHIN = 240


def claim(name: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": {
            "accessModes": ["ReadWriteMany"],
            "storageClassName": "shared",
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }


def class_with_cache(name: str) -> Object:
    """The default class, and a cache."""
    spec = Kube("").get("finetuneclass", "default")["spec"]
    return {
        "apiVersion": "finetune.dev/v1beta1",
        "kind": "FineTuneClass",
        "metadata": {"name": name},
        "spec": {**spec, "modelCache": {"claimName": "models"}},
    }


def fetched(kube: Kube, job: str) -> str:
    return kube.logs(f"job/{job}-prepare-1", "fetch-model")


def test_two_jobs_share_a_model(kube: Kube, sources: Sources) -> None:
    name = f"{kube.namespace}-cached"
    change = {
        "spec": {"className": name, "reusePolicy": "Always", "training": {"maxSteps": 2}},
    }
    Kube("").apply(class_with_cache(name))
    try:
        kube.apply(finetune_job("alone", sources, kube.namespace, change=change))
        accepted = kube.wait_for_job("alone", "Accepted", deadline=60)
        assert (
            "the namespace has no volume claim models" in condition(accepted, "Accepted")["message"]
        )
        kube.apply(claim("models"))
        both = ("left", "right")
        kube.apply(*(finetune_job(each, sources, kube.namespace, change=change) for each in both))
        jobs = [kube.wait_for_job(each, deadline=ENDS_WITHIN) for each in both]
        assert [job["status"]["resolved"]["modelCache"] for job in jobs] == ["models", "models"]
        logs = [fetched(kube, each) for each in both]
        print(*logs, sep="\n")
        assert sum("is in the model cache as" in log for log in logs) == 1
        alone = kube.wait_for_job("alone", deadline=ENDS_WITHIN)
        assert "modelCache" not in alone["status"]["resolved"]
        evaluations = [job["status"]["evaluation"] for job in (alone, *jobs)]
        assert evaluations[0] == evaluations[1] == evaluations[2]
    finally:
        Kube("").delete("finetuneclass", name)
